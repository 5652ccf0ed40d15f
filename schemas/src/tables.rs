//! The lake's tables: their DDL, one file each beside this crate.

/// (name, `CREATE SOURCE` statement) of every table.
pub const TABLES: [(&str, &str); 4] = [
    ("ad_metrics", include_str!("../ad_metrics.sql")),
    ("campaigns", include_str!("../campaigns.sql")),
    ("creatives", include_str!("../creatives.sql")),
    ("hours", include_str!("../hours.sql")),
];

#[cfg(test)]
mod tests {
    use super::TABLES;

    #[test]
    fn every_column_says_what_it_means() {
        for (name, ddl) in TABLES {
            let inside = ddl.split_once("(\n").map_or("", |(_, rest)| rest);
            let columns = inside.lines().take_while(|l| !l.trim_start().starts_with("PRIMARY KEY"));
            for line in columns {
                assert!(line.contains("-- "), "{name}: {line}");
            }
        }
    }
}
