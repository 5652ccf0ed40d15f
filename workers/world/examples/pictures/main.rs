//! Draws a picture of each kind of incident and of benign twin, and writes the README around them:
//! `cargo run --release -p tidewatch-world --example pictures`, from the root of the repository.

mod plot;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use plot::{Plot, svg};
use world::priors::{Law, PRIORS};
use world::truth::oracle::Statistic;
use world::truth::{KINDS, Scope, TWINS};
use world::{Settings, World};

const FOLDER: &str = "workers/world";

fn worlds() -> Vec<World> {
    let settings = |seed| Settings {
        seed,
        campaigns: 60,
        days: 120,
        live_days: 84,
        deliveries_per_day: 8,
        begin_week: 4,
        banners: false,
        ..Settings::default()
    };
    (40..48).map(|seed| World::new(settings(seed), false)).collect()
}

/// What is plotted: a part of a world, hours, and when they are seen.
struct Subject<'a> {
    world: &'a World,
    scope: Scope,
    from: i64,
    until: i64,
    seen: i64,
}

/// Numerator and denominator by hour.
type Ratios = BTreeMap<i64, (f64, f64)>;

/// As seen and as expected.
struct Hourly {
    seen: Ratios,
    known: Ratios,
}

fn hourly(s: &Subject<'_>, statistic: Statistic) -> Hourly {
    let (mut seen, mut known) = (Ratios::new(), Ratios::new());
    let ads = s.world.ads_of(s.scope);
    let campaign = s.world.campaigns_of(s.scope)[0];
    let platforms = s.world.scopes();
    let platform = platforms.iter().find(|(x, _)| *x == Scope::Campaign(campaign));
    let platform = platform.expect("campaigns are scopes").1;
    let hours: BTreeMap<i64, Option<i64>> = (s.from..s.until).map(|h| (h, None)).collect();
    let report = s.world.report(platform, &hours, s.seen);
    let mut add = |hour: i64, n: f64, d: f64| {
        let entry = seen.entry(hour).or_default();
        *entry = (entry.0 + n, entry.1 + d);
    };
    for row in report.ad_hours.iter().filter(|r| ads.contains(&r.ad)) {
        let (shown, clicks) = (row.impressions as f64, row.clicks as f64);
        match statistic {
            Statistic::Ctr => add(row.hour, clicks, shown),
            Statistic::Cpc => add(row.hour, row.cost_micros as f64 / 1e6, clicks),
            Statistic::Cvr => add(row.hour, 0.0, clicks),
            Statistic::Value | Statistic::Comments => {}
            _ => add(row.hour, shown, 0.0),
        }
    }
    for row in report.actions.iter().filter(|r| ads.contains(&r.ad) && s.world.is_main(r)) {
        let (made, value) = (row.conversions_micros as f64 / 1e6, row.value_micros as f64 / 1e6);
        match statistic {
            Statistic::Cvr => add(row.hour, made, 0.0),
            Statistic::Value => add(row.hour, value, made),
            _ => {}
        }
    }
    if statistic == Statistic::Comments {
        report.commented().filter(|(ad, _)| ads.contains(ad)).for_each(|(_, h)| add(h, 1.0, 0.0));
    }
    for c in s.world.campaigns_of(s.scope) {
        let own = s.world.ads_of(Scope::Campaign(c));
        for day in s.from.div_euclid(24)..=(s.until - 1).div_euclid(24) {
            for (i, r) in s.world.known_rates(c, day).iter().enumerate() {
                let (hour, ad) = (day * 24 + (i / own.len()) as i64, own[i % own.len()]);
                if !ads.contains(&ad) || !(s.from..s.until).contains(&hour) {
                    continue;
                }
                let clicks = r.impressions * r.ctr;
                let made = clicks * r.cvr * s.world.credit(c) * s.world.ripe(c, hour, s.seen);
                let (n, d) = match statistic {
                    Statistic::Ctr => (clicks, r.impressions),
                    Statistic::Cpc => (r.cost(), clicks),
                    Statistic::Cvr => (made, clicks),
                    Statistic::Value => (made * r.value, made),
                    Statistic::Comments => {
                        (r.impressions * s.world.comment_rate(ad) * r.comments, 0.0)
                    }
                    _ => (r.impressions, 0.0),
                };
                let entry = known.entry(hour).or_default();
                *entry = (entry.0 + n, entry.1 + d);
            }
        }
    }
    Hourly { seen, known }
}

/// Per hour, or a ratio, in steps of `step` hours.
fn binned(of: &Ratios, from: i64, until: i64, step: i64, ratio: bool) -> Vec<f64> {
    let bin = |b: i64| {
        let (n, d) = of.range(b..b + step).fold((0.0, 0.0), |(n, d), (_, x)| (n + x.0, d + x.1));
        match (ratio, d > 0.0) {
            (false, _) => n / step as f64,
            (true, true) => n / d,
            (true, false) => f64::NAN,
        }
    };
    (from..until).step_by(step as usize).map(bin).collect()
}

fn picture(s: &Subject<'_>, statistic: Statistic, marked: (i64, i64), title: &str) -> String {
    use Statistic as S;
    let (what, ratio, step) = match statistic {
        S::Ctr => ("clicks per impression", true, 12),
        S::Cpc => ("cost per click", true, 12),
        S::Cvr => ("conversions per click", true, 24),
        S::Value => ("value per conversion", true, 24),
        S::Comments => ("comments per hour", false, 12),
        _ => ("impressions per hour", false, 6),
    };
    let data = hourly(s, statistic);
    let step = if title == "dst_day" { 24 } else { step };
    svg(&Plot {
        title,
        what,
        seen: &binned(&data.seen, s.from, s.until, step, ratio),
        known: &binned(&data.known, s.from, s.until, step, ratio),
        marked: (
            (marked.0 - s.from) as f64 / step as f64,
            (marked.1 - s.from) as f64 / step as f64,
        ),
        step_hours: step,
    })
}

/// A lateness picture: the newest hour delivered, by delivery, in hours behind.
fn late_picture(world: &World, platform: usize, onset: i64, end: i64, title: &str) -> String {
    let near = |n: &u32| (onset - 72..end + 72).contains(&world.delivered_hour(*n));
    let all: Vec<u32> = (0..world.deliveries()).filter(near).collect();
    let behind: Vec<f64> =
        all.iter().map(|n| (world.delivered_hour(*n) - world.cut(platform, *n)) as f64).collect();
    let at = |hour: i64| all.iter().filter(|n| world.delivered_hour(**n) < hour).count() as f64;
    let known = vec![2.0; behind.len()];
    let what = "hours behind, by delivery";
    svg(&Plot {
        title,
        what,
        seen: &behind,
        known: &known,
        marked: (at(onset), at(end)),
        step_hours: 3,
    })
}

fn incident_picture(worlds: &[World], kind: &world::truth::Sort) -> Option<String> {
    let all = worlds.iter().flat_map(|w| w.incidents().iter().map(move |i| (w, i)));
    let mut all: Vec<_> = all.filter(|(_, i)| i.kind == kind.kind).collect();
    all.sort_by(|a, b| {
        (b.1.detectable, b.1.power).partial_cmp(&(a.1.detectable, a.1.power)).expect("no NaN")
    });
    let (world, i) = all.first()?;
    if let Scope::Platform(p) = i.scope {
        return Some(late_picture(world, p, i.onset, i.end, kind.name));
    }
    let hours = i64::from(world.settings().days) * 24;
    // A mistake in the data is seen before it is corrected, the rest when all is known.
    let data = kind.about.starts_with("Data");
    let (after, seen) = if data { (24, i.end + 30) } else { (120, i.end + 600) };
    let (from, until) = ((i.onset - 240).max(0), (i.end + after).min(hours));
    let subject = Subject { world, scope: i.scope, from, until, seen };
    Some(picture(&subject, kind.statistic, (i.onset, i.end), kind.name))
}

fn twin_picture(worlds: &[World], kind: &world::truth::TwinSort) -> Option<String> {
    let statistic = match kind.name {
        "bid_edit" => Statistic::Cpc,
        "creative_refresh" => Statistic::Ctr,
        "maintenance" | "attribution_change" | "late_conversions" | "new_conversion_action" => {
            Statistic::Cvr
        }
        _ => Statistic::Impressions,
    };
    let all = worlds.iter().flat_map(|w| w.twins().iter().map(move |t| (w, t)));
    let (mut best, mut most) = (None, 0.0);
    for (world, twin) in
        all.filter(|(_, t)| t.kind == kind.name && (t.from > 240 || t.until - t.from > 1000))
    {
        let clear = world.incidents().iter().all(|i| {
            !world.meet(i.scope, twin.scope) || i.onset > twin.from + 400 || i.end < twin.from - 240
        });
        let campaigns = world.campaigns_of(twin.scope);
        if campaigns.is_empty() || !clear {
            continue;
        }
        let rates = world.known_rates(campaigns[0], twin.from.max(96).div_euclid(24) - 2);
        let volume: f64 = rates.iter().map(|r| r.impressions * r.ctr).sum();
        if volume > most {
            (best, most) = (Some((world, twin)), volume);
        }
    }
    let (world, twin) = best?;
    let hours = i64::from(world.settings().days) * 24;
    let end = twin.until.min(twin.from + 336);
    let (from, until) = ((twin.from - 240).max(0), (end + 120).min(hours));
    let scope = match twin.scope {
        Scope::Brand(_) | Scope::Platform(_) => Scope::Campaign(world.campaigns_of(twin.scope)[0]),
        narrow => narrow,
    };
    // Slow conversions are seen at once, the rest in the end.
    let seen = if kind.name == "late_conversions" { until } else { until + 24 * 30 };
    let subject = Subject { world, scope, from, until, seen };
    Some(picture(&subject, statistic, (twin.from, end), kind.name))
}

fn law(of: &Law) -> String {
    match of {
        Law::Uniform(a, b) => format!("uniform {a} to {b}"),
        Law::LogUniform(a, b) => format!("log-uniform {a} to {b}"),
        Law::LogNormal(m, s) => format!("log-normal, median {m}, sd of log {s}"),
        Law::Pareto(a, e, b) => format!("Pareto from {a}, exponent {e}, cut at {b}"),
    }
}

fn main() -> std::io::Result<()> {
    let folder = Path::new(FOLDER).join("pictures");
    std::fs::create_dir_all(&folder)?;
    let worlds = worlds();
    let mut text =
        std::fs::read_to_string(Path::new(FOLDER).join("examples/pictures/README.head.md"))?;
    let put = |name: &str, picture: Option<String>| -> std::io::Result<String> {
        let Some(picture) = picture else { return Ok("(no picture: none in these worlds)".into()) };
        std::fs::write(folder.join(format!("{name}.svg")), picture)?;
        Ok(format!("![{name}](pictures/{name}.svg)"))
    };
    let add = |text: &mut String, line: String| {
        writeln!(text, "{line}").expect("text can be written to");
    };
    add(&mut text, "\n## Incidents\n".into());
    for k in &KINDS {
        add(&mut text, format!("### {}\n", k.name));
        let how = format!(
            "{} Level: {}. Shows in: {}, {}. Deadline: {} h. Lasts {} to {} h.\n",
            k.about,
            k.level.name(),
            k.statistic.name(),
            k.direction,
            k.deadline_hours,
            k.lasts.0,
            k.lasts.1
        );
        add(&mut text, how);
        let shown = put(k.name, incident_picture(&worlds, k))?;
        add(&mut text, format!("{shown}\n"));
    }
    add(&mut text, "## Benign twins\n".into());
    for t in &TWINS {
        add(&mut text, format!("### {}\n", t.name));
        add(&mut text, format!("{} Looks like: {}. Told by: {}.\n", t.about, t.like, t.told_by));
        let shown = put(t.name, twin_picture(&worlds, t))?;
        add(&mut text, format!("{shown}\n"));
    }
    add(
        &mut text,
        "## Priors\n\n| parameter | of each | law | unit | why |\n|---|---|---|---|---|".into(),
    );
    for p in PRIORS {
        add(
            &mut text,
            format!("| {} | {} | {} | {} | {} |", p.name, p.of, law(&p.law), p.unit, p.why),
        );
    }
    std::fs::write(Path::new(FOLDER).join("README.md"), text)
}
