//! The live world's conveniences, end to end: zones, currencies, overlapping conversions, dense
//! cells and known events, over a generated world and over small lakes made to break them.

use std::path::{Path, PathBuf};

use world::{Settings, World, write};

use crate::Bench;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dataflow(name: &str) -> String {
    repository().join("dataflows").join(name).display().to_string()
}

fn sql_of(name: &str) -> String {
    std::fs::read_to_string(Path::new(&dataflow(name)).join(format!("{name}.sql"))).expect("SQL")
}

impl Bench {
    /// Ask queries of one row and one column, all at once.
    fn answers(&self, asked: &[(&str, &str)]) {
        let column = |(i, (query, _)): (usize, &(&str, &str))| format!("({query}) AS c{i}");
        let columns: Vec<String> = asked.iter().enumerate().map(column).collect();
        let rows = self.rows(&format!("SELECT {}", columns.join(",")));
        let want: Vec<&str> = asked.iter().map(|(_, want)| *want).collect();
        assert_eq!(rows, [want.join(",")], "{asked:#?}");
    }

    /// Run once with the lake's own statements, and verify.
    fn caught_up(&self) {
        self.ok(&["run", "--once"]);
        self.verified();
    }
}

/// What Meta says of a campaign's main action in its account's main window, beside the conversions.
const MAIN_NUMBERS: &str = "
CREATE MATERIALIZED VIEW main_numbers AS
SELECT m.campaign_id, m.metric_hour, m.attribution_window, m.conversions,
       m.conversions_value_micros AS value_micros,
       CASE WHEN c.objective = 'leads' THEN 'lead' ELSE 'purchase' END AS action_family
FROM ad_metrics m JOIN campaigns c ON m.campaign_id = c.campaign_id
WHERE m.platform = 'meta';";

#[test]
fn dataflows_over_a_generated_world_follow_its_restatements_and_meet_its_truth() {
    let settings = Settings {
        seed: 7,
        campaigns: 10,
        days: 28,
        live_days: 3,
        begin_week: 6,
        banners: false,
        ..Settings::default()
    };
    let (bench, world) = (Bench::empty(), World::new(settings, false));
    let deliver =
        |n: u32| write(&world.delivery(n).expect("made"), &bench.lake()).expect("written");
    deliver(0);
    std::fs::write(bench.path("main_numbers.sql"), MAIN_NUMBERS).expect("written");
    let sql = [
        repository().join("schemas").display().to_string(),
        dataflow("campaign_features"),
        dataflow("exchange_rates"),
        dataflow("conversions_once"),
        dataflow("dense_cells"),
        dataflow("known_events"),
        dataflow("known_features"),
        bench.path("main_numbers.sql").display().to_string(),
    ];
    let mut args = vec!["run", "--once"];
    args.extend(sql.iter().map(String::as_str));
    bench.ok(&args);
    // Then they are restated while they are followed, several deliveries under way at once.
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    for n in 1..world.deliveries() {
        let before =
            bench.lake().join("_tidewatch/published").read_dir().map_or(0, Iterator::count);
        deliver(n);
        bench.published(before);
    }
    run.kill().expect("killed");
    run.wait().expect("ended");
    bench.caught_up();
    conversions_meet_the_main_numbers(&bench);
    days_have_the_hours_of_their_zone(&bench);
    edits_are_remembered_for_72_hours(&bench);
    let both = "SELECT count(*) = (SELECT count(*) FROM campaign_features) FROM known_features";
    bench.answers(&[
        ("SELECT count(*) FROM faults", "0"),
        ("SELECT sum(currencies_without_rate) FROM platform_daily_usd", "0"),
        ("SELECT count(*) > 0 FROM known_events WHERE promotion", "true"),
        (both, "true"),
    ]);
}

fn conversions_meet_the_main_numbers(bench: &Bench) {
    let differ = "SELECT count(*) FROM main_numbers m LEFT JOIN (
            SELECT campaign_id, metric_hour, attribution_window, action_family,
                   sum(conversions) AS conversions, sum(value_micros) AS value_micros
            FROM conversions_once GROUP BY 1, 2, 3, 4) o
        USING (campaign_id, metric_hour, attribution_window, action_family)
        WHERE m.conversions <> coalesce(o.conversions, 0)
           OR m.value_micros <> coalesce(o.value_micros, 0)";
    // As reported, they would be counted two or three times.
    let reported = "SELECT sum(c.conversions) >= 2 * (SELECT sum(conversions) FROM conversions_once
                        WHERE platform = 'meta')
        FROM (SELECT conversions, row_number() OVER (PARTITION BY ad_id, metric_hour, action_type,
                  attribution_window ORDER BY as_of DESC) AS newest
              FROM conversions_history WHERE platform = 'meta') c WHERE newest = 1";
    let enough = "SELECT sum(conversions) > 20 FROM main_numbers";
    bench.answers(&[(differ, "0"), (reported, "true"), (enough, "true")]);
}

fn days_have_the_hours_of_their_zone(bench: &Bench) {
    // Clocks change in America on 8 March 2026.
    let changed = "SELECT DISTINCT hours_in_day, local_day FROM dense_campaign_days
                   WHERE hours_in_day <> 24";
    assert_eq!(bench.rows(changed), ["23.0,2026-03-08"]);
    let incomplete = "SELECT count(*) FROM dense_campaign_days d
        JOIN (SELECT campaign_id, min(local_day) AS first, max(local_day) AS last
              FROM dense_campaign_days GROUP BY 1) e USING (campaign_id)
        WHERE d.hours <> d.hours_in_day AND d.local_day > first AND d.local_day < last";
    let days = "SELECT sum(hours) = (SELECT count(*) FROM dense_campaign_cells)
                FROM dense_campaign_days";
    let ads = "SELECT sum(impressions) = (SELECT sum(impressions) FROM dense_campaign_cells)
               FROM dense_ad_cells";
    let grid =
        "SELECT count(*) = (SELECT count(*) FROM campaign_features) FROM dense_campaign_cells";
    bench.answers(&[(incomplete, "0"), (days, "true"), (ads, "true"), (grid, "true")]);
}

fn edits_are_remembered_for_72_hours(bench: &Bench) {
    // The same without buckets.
    let differ = "SELECT count(*) FROM known_events k LEFT JOIN (
            SELECT c.campaign_id, h.metric_hour, count(*) AS edits
            FROM (SELECT DISTINCT campaign_id, account_id FROM campaigns_history) c
            JOIN change_events_history e ON e.account_id = c.account_id
                AND (e.campaign_id = c.campaign_id OR e.campaign_id IS NULL)
            JOIN (SELECT DISTINCT metric_hour FROM hours_history) h
                ON h.metric_hour > e.changed_at - INTERVAL '1 hour'
               AND h.metric_hour <= e.changed_at + INTERVAL '71 hours'
            GROUP BY 1, 2) n USING (campaign_id, metric_hour)
        WHERE k.edits_72h <> coalesce(n.edits, 0)";
    let some = "SELECT sum(edits_72h) > 0 AND sum(edits_24h) > 0 FROM known_events";
    bench.answers(&[(differ, "0"), (some, "true")]);
}

const CONVERSIONS: &str = "
CREATE SOURCE conversions (platform VARCHAR, account_id VARCHAR, campaign_id VARCHAR,
    adset_id VARCHAR, ad_id VARCHAR, metric_hour TIMESTAMP, action_type VARCHAR,
    attribution_window VARCHAR, currency VARCHAR, conversions DECIMAL(18,6),
    conversions_value_micros BIGINT)
  WITH (location = 'conversions/', format = 'csv', mode = 'replace');";

/// A file with one row: so many conversions, each worth 10.
fn reported(bench: &Bench, platform: &str, action_type: &str, conversions: Option<i64>) {
    let header = "platform,account_id,campaign_id,adset_id,ad_id,metric_hour,action_type,\
                  attribution_window,currency,conversions,conversions_value_micros\n";
    let n = conversions.map(|n| n.to_string()).unwrap_or_default();
    let value = conversions.map(|n| (n * 10_000_000).to_string()).unwrap_or_default();
    let row =
        format!("{platform},a,c,s,ad,2026-05-04 10:00:00,{action_type},7d_click,USD,{n},{value}\n");
    bench.put(&format!("conversions/{platform}.{action_type}.csv"), &format!("{header}{row}"));
}

#[test]
fn the_widest_action_type_counts_takes_over_and_gives_back() {
    let bench = Bench::empty();
    let pixel = "offsite_conversion.fb_pixel_purchase";
    reported(&bench, "meta", pixel, Some(3));
    reported(&bench, "meta", "app_custom_event.fb_mobile_purchase", Some(2));
    reported(&bench, "google", "PURCHASE", Some(7));
    bench.once(&format!("{CONVERSIONS}{}", sql_of("conversions_once")));
    let says = |want: &str| {
        let meta = "SELECT action_family, action_level, conversions, value_micros
                    FROM conversions_once WHERE platform = 'meta'";
        assert_eq!(bench.rows(meta), [want]);
        let google = "SELECT action_family, action_level, conversions FROM conversions_once
                      WHERE platform = 'google'";
        assert_eq!(bench.rows(google), ["PURCHASE,1,7.000000"]);
        bench.verified();
    };
    let next = || bench.ok(&["run", "--once"]);
    // Website and app are parts of the whole.
    says("purchase,8,5.000000,50000000");
    reported(&bench, "meta", "purchase", Some(5));
    next();
    says("purchase,2,5.000000,50000000");
    // Reported early and too low, it counts all the same; then it is restated.
    reported(&bench, "meta", "omni_purchase", Some(4));
    next();
    says("purchase,1,4.000000,40000000");
    reported(&bench, "meta", "omni_purchase", Some(6));
    next();
    says("purchase,1,6.000000,60000000");
    // Nulls say nothing, and neither does a file that is gone.
    reported(&bench, "meta", "omni_purchase", None);
    next();
    says("purchase,2,5.000000,50000000");
    bench.remove("conversions/meta.purchase.csv");
    reported(&bench, "meta", pixel, Some(4));
    next();
    says("purchase,8,6.000000,60000000");
}

const CELLS: &str = "
CREATE SOURCE accounts (account_id VARCHAR NOT NULL, tz VARCHAR)
  WITH (location = 'accounts/', format = 'csv', mode = 'replace');
CREATE SOURCE cells (account_id VARCHAR NOT NULL, hour TIMESTAMP NOT NULL, clicks BIGINT NOT NULL)
  WITH (location = 'cells/', format = 'csv', mode = 'replace');
CREATE MATERIALIZED VIEW days AS
SELECT account_id, day, sum(clicks) AS clicks, count(*) AS hours
FROM (SELECT c.account_id, local_day(c.hour, a.tz) AS day, c.clicks
      FROM cells c LEFT JOIN accounts a ON c.account_id = a.account_id)
GROUP BY account_id, day;";

#[test]
fn an_account_in_no_zone_is_a_fault_until_it_is_corrected() {
    let bench = Bench::empty();
    bench.put("accounts/a.csv", "account_id,tz\nny,America/New_York\nmars,Mars/Olympus\nnone,\n");
    let cell = |account: &str, hour: u32| format!("{account},2026-11-01 {hour:02}:00:00,1\n");
    let rows: String = (3..6)
        .flat_map(|h| ["ny", "mars", "none", "gone"].map(|account| cell(account, h)))
        .collect();
    bench.put("cells/a.csv", &format!("account_id,hour,clicks\n{rows}"));
    bench.once(CELLS);
    assert_eq!(
        bench.rows("SELECT * FROM days"),
        ["gone,,3,3", "none,,3,3", "ny,2026-10-31,1,1", "ny,2026-11-01,2,2"]
    );
    let faults = bench.rows("SELECT origin, reason FROM faults");
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|f| f.contains("'Mars/Olympus'")), "{faults:?}");
    bench.put("accounts/a.csv", "account_id,tz\nny,America/New_York\nmars,Europe/Berlin\nnone,\n");
    bench.once(CELLS);
    assert_eq!(bench.rows("SELECT count(*) FROM faults"), ["0"]);
    assert_eq!(bench.rows("SELECT * FROM days WHERE account_id = 'mars'"), ["mars,2026-11-01,3,3"]);
    bench.verified();
    let wrong = CELLS.replace("a.tz", "'Europe/Berlln'");
    std::fs::write(bench.path("wrong.sql"), wrong).expect("written");
    let said = bench.fails(&["explain", &bench.path("wrong.sql").display().to_string()]);
    assert!(said.contains("no time zone is named 'Europe/Berlln'"), "{said}");
}

#[test]
fn a_rate_is_carried_over_days_without_one_and_its_restatement_too() {
    const SOURCES: &str = "
        CREATE SOURCE fx_rates (currency VARCHAR NOT NULL, day DATE NOT NULL, per_usd DECIMAL(18,6),
            as_of TIMESTAMP NOT NULL, PRIMARY KEY (currency, day))
          WITH (location = 'fx_rates/', format = 'csv', mode = 'upsert', version = 'as_of');
        CREATE SOURCE hours (platform VARCHAR, metric_hour TIMESTAMP)
          WITH (location = 'hours/', format = 'csv', mode = 'replace');
        CREATE SOURCE ad_metrics (platform VARCHAR, metric_hour TIMESTAMP, currency VARCHAR,
            cost_micros BIGINT, conversions_value_micros BIGINT)
          WITH (location = 'ad_metrics/', format = 'csv', mode = 'replace');";
    let bench = Bench::empty();
    let rate = |name: &str, day: u32, per_usd: &str, at: u32| {
        let text = format!(
            "currency,day,per_usd,as_of\nEUR,2026-05-{day:02},{per_usd},2026-05-{at:02} 20:00:00\n"
        );
        bench.put(&format!("fx_rates/{name}.csv"), &text);
    };
    // Friday the 1st, and Monday the 4th.
    rate("friday", 1, "0.900000", 1);
    rate("monday", 4, "0.800000", 4);
    let hours: String = (1..=15).map(|d| format!("meta,2026-05-{d:02} 10:00:00\n")).collect();
    bench.put("hours/a.csv", &format!("platform,metric_hour\n{hours}"));
    let spent = "platform,metric_hour,currency,cost_micros,conversions_value_micros\n\
                 meta,2026-05-03 10:00:00,EUR,9000000,0\n\
                 meta,2026-05-03 11:00:00,USD,5000000,0\n\
                 meta,2026-05-03 12:00:00,GBP,5000000,0\n";
    bench.put("ad_metrics/a.csv", spent);
    bench.once(&format!("{SOURCES}{}", sql_of("exchange_rates")));
    let eur = |days: &str| {
        bench.rows(&format!(
            "SELECT day, per_usd, rate_day FROM exchange_rates
             WHERE currency = 'EUR' AND extract(day FROM day) IN ({days})"
        ))
    };
    assert_eq!(
        eur("1, 3, 4, 14, 15"),
        [
            "2026-05-01,0.900000,2026-05-01",
            "2026-05-03,0.900000,2026-05-01",
            "2026-05-04,0.800000,2026-05-04",
            "2026-05-14,0.800000,2026-05-04",
            "2026-05-15,,"
        ]
    );
    assert_eq!(
        bench.rows("SELECT DISTINCT per_usd FROM exchange_rates WHERE currency = 'USD'"),
        ["1.000000"]
    );
    let usd = "SELECT cost_usd_micros, currencies_without_rate FROM platform_daily_usd";
    assert_eq!(bench.rows(usd), ["15000000,1"]);
    bench.verified();
    rate("friday-final", 1, "0.910000", 2);
    bench.caught_up();
    assert_eq!(
        eur("1, 3, 4"),
        [
            "2026-05-01,0.910000,2026-05-01",
            "2026-05-03,0.910000,2026-05-01",
            "2026-05-04,0.800000,2026-05-04"
        ]
    );
    // 9 / 0.91 = 9.8901098…
    assert_eq!(bench.rows(usd), ["14890110,1"]);
    // A rate for Sunday comes after all.
    rate("sunday", 3, "0.500000", 5);
    bench.caught_up();
    assert_eq!(bench.rows(usd), ["23000000,1"]);
    assert_eq!(eur("2"), ["2026-05-02,0.910000,2026-05-01"]);
}

const AMOUNTS: &str = "CREATE SOURCE m (day DATE, platform VARCHAR, campaign_id VARCHAR,
        currency VARCHAR, cost_micros BIGINT, clicks BIGINT) WITH (location = 'm/');
        CREATE VIEW shown AS SELECT platform AS p, day, campaign_id, coalesce(cost_micros, 0) AS cost,
            currency FROM m WHERE clicks > 0;
        CREATE VIEW per_campaign AS SELECT p, campaign_id, sum(cost) AS cost FROM shown GROUP BY 1, 2;";

#[test]
fn sums_across_currencies_are_refused_with_what_to_write_instead() {
    let bench = Bench::empty();
    let explain = |query: &str| {
        let sql = bench.path("v.sql");
        let text = format!("{AMOUNTS}CREATE MATERIALIZED VIEW v AS\n{query};");
        std::fs::write(&sql, text).expect("written");
        bench.run(&["explain", &sql.display().to_string()])
    };
    for query in [
        "SELECT platform, sum(cost_micros) AS c FROM m GROUP BY platform",
        "SELECT sum(cost_micros) AS c FROM m WHERE platform = 'meta'",
        "SELECT day, avg(cost) AS c FROM shown GROUP BY day",
        "SELECT p, sum(cost) AS c FROM per_campaign GROUP BY p",
        "SELECT sum(cost_micros) OVER (PARTITION BY platform ORDER BY day) AS c FROM m",
        "SELECT s.day, sum(m.cost_micros) AS c FROM m JOIN shown s ON m.day = s.day GROUP BY 1",
    ] {
        let output = explain(query);
        let said = crate::text(&output.stderr);
        assert!(!output.status.success(), "{query} is accepted");
        assert!(said.contains("adds up different currencies: m.cost_micros"), "{query}: {said}");
        assert!(said.contains("v.sql:") && said.contains("add currency to GROUP BY"), "{said}");
    }
    for query in [
        "SELECT platform, currency, sum(cost_micros) AS c FROM m GROUP BY 1, 2",
        "SELECT campaign_id, sum(cost_micros) AS c FROM m GROUP BY 1",
        "SELECT sum(cost_micros) AS c FROM m WHERE currency = 'USD'",
        "SELECT sum(cost_micros) FILTER (WHERE currency = 'USD') AS c FROM m",
        "SELECT p, sum(cost) AS c FROM (SELECT * FROM shown WHERE currency = 'EUR') GROUP BY p",
        "SELECT p, sum(convert_micros(cost, 1, 2)) AS c FROM shown GROUP BY p",
        "SELECT platform, sum(clicks) AS c FROM m GROUP BY platform",
        "SELECT platform, max(cost_micros) AS c FROM m GROUP BY platform",
    ] {
        let output = explain(query);
        assert!(output.status.success(), "{query}: {}", crate::text(&output.stderr));
    }
}

#[test]
fn queries_that_only_look_across_currencies_are_warned_about() {
    let bench = Bench::empty();
    bench.put(
        "m/a.csv",
        "day,platform,campaign_id,currency,cost_micros,clicks\n2026-05-04,x,c,EUR,5,1\n",
    );
    let csv = AMOUNTS.replace("location = 'm/'", "location = 'm/', format = 'csv'");
    bench.once(&format!("{csv}CREATE MATERIALIZED VIEW spend AS SELECT * FROM m;"));
    let warned = |query: &str| {
        let output = bench.run(&["sql", query]);
        assert!(output.status.success(), "{query}");
        crate::text(&output.stderr).contains("warning: sum(cost_micros) adds up different")
    };
    assert!(warned("SELECT sum(cost_micros) FROM spend"));
    assert!(!warned("SELECT currency, sum(cost_micros) FROM spend GROUP BY 1"));
}
