//! The frozen world: the same seed gives the same bytes, today and after every change.

use std::collections::{BTreeMap, BTreeSet};

use world::truth::{KINDS, TWINS};
use world::{Purpose, Settings, World, WorldKind};

const SMALL: Settings = Settings {
    seed: 7,
    campaigns: 9,
    days: 40,
    noise: world::Noise::Middle,
    kind: WorldKind::Incidents,
    purpose: Purpose::Training,
    live_days: 7,
    deliveries_per_day: 1,
    begin_week: 9,
    banners: true,
};

/// Of all files of [`SMALL`] as JSON lines, Parquet and PNG. A change of this number makes every
/// published figure about worlds void: change it only with a new measurement of all of them.
const FROZEN: u64 = 0x2199_694d_7962_2d60;

/// FNV-1a.
fn checksum(files: &BTreeMap<String, Vec<u8>>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for (path, bytes) in files {
        for byte in path.bytes().chain(bytes.iter().copied()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

fn files(settings: Settings, json: bool) -> BTreeMap<String, Vec<u8>> {
    let world = World::new(settings, json);
    let deliveries = (0..world.deliveries()).map(|n| world.delivery(n).expect("encodes"));
    let mut all = BTreeMap::new();
    for (path, bytes) in deliveries.flat_map(|d| d.files) {
        assert!(all.insert(path.clone(), bytes).is_none(), "{path} is written twice");
    }
    all
}

#[test]
fn the_world_is_frozen() {
    let mut all = files(SMALL, true);
    all.extend(files(SMALL, false));
    assert_eq!(checksum(&all), FROZEN, "{:#018x}", checksum(&all));
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_any_order() {
    let whole = files(SMALL, false);
    let world = World::new(SMALL, false);
    for n in (0..world.deliveries()).rev() {
        for part in (0..world.parts(n)).rev() {
            for (path, bytes) in world.part(n, part).expect("encodes").files {
                assert!(whole[&path] == bytes, "{path}");
            }
        }
    }
    let other = files(Settings { seed: 8, ..SMALL }, false);
    let same = |(path, bytes): &(&String, &Vec<u8>)| {
        path.starts_with("ad_metrics/") && whole.get(*path) == Some(*bytes)
    };
    assert_eq!(other.iter().filter(same).count(), 0);
}

/// Columns of a `CREATE SOURCE` statement, but those that its folders hold.
fn columns(ddl: &str) -> Vec<String> {
    let inside = ddl.split_once("(\n").map_or("", |(_, rest)| rest);
    let lines = inside.lines().map(str::trim);
    lines
        .take_while(|l| !l.starts_with("PRIMARY KEY") && !l.starts_with(") WITH"))
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_string)
        .collect()
}

#[test]
fn files_have_the_columns_of_their_tables() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let all = files(SMALL, false);
    for (name, ddl) in schemas::tables::all() {
        let folder = ddl.split("location = '").nth(1).and_then(|r| r.split('\'').next());
        let folder = folder.expect("a table has a location");
        let mut found = 0;
        for (path, bytes) in all.iter().filter(|(p, _)| p.starts_with(folder)) {
            let file = bytes::Bytes::from(bytes.clone());
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            let mut there: BTreeSet<String> =
                reader.schema().fields().iter().map(|f| f.name().clone()).collect();
            if path.contains("platform=") {
                there.insert("platform".to_string());
            }
            let declared: BTreeSet<String> = columns(ddl).into_iter().collect();
            assert_eq!(there, declared, "{name}: {path}");
            found += 1;
        }
        assert!(found > 0, "{name} has no file");
    }
}

#[test]
fn twins_outnumber_incidents_five_to_one_and_all_kinds_happen() {
    let (mut incidents, mut twins) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..12 {
        let settings = Settings { seed, campaigns: 60, days: 120, live_days: 60, ..SMALL };
        let world = World::new(settings, false);
        assert!(world.twins().len() >= 5 * world.incidents().len(), "seed {seed}");
        incidents.extend(world.incidents().iter().map(|i| i.kind.sort().name));
        twins.extend(world.twins().iter().map(|t| t.kind));
        let null = World::new(Settings { kind: WorldKind::Null, ..settings }, false);
        assert!(null.incidents().is_empty());
    }
    let listed = |names: Vec<&'static str>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(incidents, listed(KINDS.iter().map(|k| k.name).collect()));
    assert_eq!(twins, listed(TWINS.iter().map(|t| t.name).collect()));
}

#[test]
fn conversions_ripen_and_sometimes_fall_again() {
    let world = World::new(Settings { campaigns: 40, days: 80, ..SMALL }, false);
    let hours = (0..48 * 10).map(|h| (h, None)).collect();
    let cells = |seen: i64| -> BTreeMap<(usize, i64), (i64, i64)> {
        let reports = (0..4).flat_map(|p| world.report(p, &hours, seen).cells);
        reports.map(|c| ((c.campaign, c.hour), (c.conversions_micros, c.cost_micros))).collect()
    };
    let sum = |cells: &BTreeMap<(usize, i64), (i64, i64)>| {
        cells.values().fold((0, 0), |(n, c), x| (n + x.0, c + x.1))
    };
    let (young, old, older) = (cells(490), cells(800), cells(3000));
    assert!(sum(&young).0 < sum(&old).0, "{:?} {:?}", sum(&young), sum(&old));
    assert!(old.iter().any(|(k, x)| older[k].0 < x.0), "some are taken back");
    assert!(sum(&old).1 < sum(&young).1, "invalid clicks cost nothing");
    assert_eq!(sum(&old).1, sum(&older).1, "costs settle");
}

#[test]
fn the_median_campaign_sells_less_than_once_a_day() {
    for seed in 0..5 {
        let world = World::new(Settings { seed, campaigns: 60, days: 30, ..SMALL }, false);
        let hours = (0..30 * 24).map(|h| (h, None)).collect();
        let mut sold = vec![0.0; 60];
        for p in 0..4 {
            for cell in world.report(p, &hours, 24 * 60).cells {
                sold[cell.campaign] += cell.conversions_micros as f64 / 1e6 / 30.0;
            }
        }
        sold.sort_by(f64::total_cmp);
        assert!(sold[30] < 1.0, "seed {seed}: {}", sold[30]);
        assert!(sold[59] > 8.0 * sold[30], "seed {seed}: a power law");
    }
}

#[test]
fn the_readme_shows_every_kind_and_every_prior() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("README.md")).expect("there is a README");
    let kinds =
        KINDS.iter().map(|k| (k.name, k.about)).chain(TWINS.iter().map(|t| (t.name, t.about)));
    for (name, about) in kinds {
        assert!(text.contains(about), "{name}: run the example 'pictures'");
        let picture = format!("pictures/{name}.svg");
        assert!(text.contains(&picture) && root.join(&picture).exists(), "{name} has no picture");
    }
    for prior in world::priors::PRIORS {
        assert!(text.contains(&format!("| {} | {} |", prior.name, prior.of)), "{}", prior.name);
    }
}
