//! The lake's tables: their DDL, one file each beside this crate.

macro_rules! tables {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../", $name, ".sql")))),*]
    };
}

/// (name, `CREATE SOURCE` statement) of the tables that `dataflows/campaign_features` reads.
pub const TABLES: [(&str, &str); 4] = tables! { "ad_metrics" "campaigns" "creatives" "hours" };

/// The rest of a marketing lake: finer facts, entities, people, known events.
pub const FURTHER: [(&str, &str); 14] = tables! {
    "accounts" "ad_sets" "ads" "ad_hours" "conversions" "comments" "customers" "orders" "leads"
    "change_events" "planned_events" "calendar" "fx_rates" "goals"
};

/// What is true of a generated world. No dataflow reads these; backtests do.
pub const TRUTH: [(&str, &str); 4] = [
    ("truth_incidents", include_str!("../truth/incidents.sql")),
    ("truth_twins", include_str!("../truth/twins.sql")),
    ("truth_goals", include_str!("../truth/goals.sql")),
    ("truth_comments", include_str!("../truth/comments.sql")),
];

/// Every table.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.into_iter().chain(FURTHER).chain(TRUTH)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_column_says_what_it_means() {
        for (name, ddl) in super::all() {
            let inside = ddl.split_once("(\n").map_or("", |(_, rest)| rest);
            let end =
                |l: &&str| !l.trim_start().starts_with("PRIMARY KEY") && !l.starts_with(") WITH");
            for line in inside.lines().take_while(end) {
                assert!(line.contains("-- "), "{name}: {line}");
            }
        }
    }
}
