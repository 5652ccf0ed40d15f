//! Rows as files.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::{BEGIN_US, Campaign, Cell, HOUR_US};

/// A file that cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("a file of the world cannot be encoded")]
pub struct FileError(#[from] ArrowError);

type File = (String, Vec<u8>);

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<TimestampMicrosecondArray>())
}

fn whole(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Int64Array>())
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, ArrowError> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Facts of a platform's day, as of `at_us`. The platform is in the path.
pub(crate) fn facts(
    path: &str,
    cells: &[Cell],
    campaigns: &[Campaign],
    at_us: i64,
    json: bool,
) -> Result<File, FileError> {
    let of = |f: fn(&Campaign) -> &str| texts(cells.iter().map(move |c| f(&campaigns[c.campaign])));
    let conversions = Decimal128Array::from_iter_values(cells.iter().map(|c| c.conversions));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("account_id", of(|c| &c.account)),
        ("campaign_id", of(|c| &c.id)),
        ("metric_hour", times(cells.iter().map(|c| BEGIN_US + c.hour * HOUR_US))),
        ("attribution_window", texts(cells.iter().map(|_| "7d_click"))),
        ("account_tz", of(|c| c.tz)),
        ("currency", of(|c| c.currency)),
        ("impressions", whole(cells.iter().map(|c| c.impressions))),
        ("clicks", whole(cells.iter().map(|c| c.clicks))),
        ("cost_micros", whole(cells.iter().map(|c| c.cost_micros))),
        ("conversions", Arc::new(conversions.with_precision_and_scale(18, 6)?)),
        ("conversions_value_micros", whole(cells.iter().map(|c| c.value_micros))),
        ("as_of", times(cells.iter().map(|_| at_us))),
    ];
    if !json {
        return Ok((format!("{path}.parquet"), parquet(columns)?));
    }
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&RecordBatch::try_from_iter(columns)?)?;
    writer.finish()?;
    Ok((format!("{path}.jsonl"), writer.into_inner()))
}

/// The hours of `days` as delivered by `platform`.
pub(crate) fn hours(platform: &str, days: &[u32], last: u32) -> Result<File, FileError> {
    let all = || days.iter().flat_map(|d| i64::from(*d) * 24..(i64::from(*d) + 1) * 24);
    let columns = vec![
        ("platform", texts(all().map(|_| platform))),
        ("metric_hour", times(all().map(|h| BEGIN_US + h * HOUR_US))),
    ];
    Ok((format!("hours/{platform}-{last:05}.parquet"), parquet(columns)?))
}

/// Campaigns and their creatives.
pub(crate) fn entities(campaigns: &[Campaign], at_us: i64) -> Result<Vec<File>, FileError> {
    let names: Vec<String> = campaigns.iter().map(|c| format!("{} {}", c.platform, c.id)).collect();
    let creatives: Vec<String> = campaigns.iter().map(|c| format!("cr-{}", c.id)).collect();
    let headlines: Vec<String> =
        campaigns.iter().map(|c| format!("Try {} today", c.account)).collect();
    let images: Vec<String> = campaigns.iter().map(|c| format!("images/{}.png", c.id)).collect();
    let strings = |v: &[String]| texts(v.iter().map(String::as_str));
    let as_of = || times(campaigns.iter().map(|_| at_us));
    let ids = || texts(campaigns.iter().map(|c| c.id.as_str()));
    let campaign_columns = vec![
        ("campaign_id", ids()),
        ("platform", texts(campaigns.iter().map(|c| c.platform))),
        ("account_id", texts(campaigns.iter().map(|c| c.account.as_str()))),
        ("name", strings(&names)),
        ("currency", texts(campaigns.iter().map(|c| c.currency))),
        ("daily_budget_micros", whole(campaigns.iter().map(|c| c.daily_budget_micros))),
        ("launch_hour", times(campaigns.iter().map(|c| BEGIN_US + c.launch_hour * HOUR_US))),
        ("as_of", as_of()),
    ];
    let creative_columns = vec![
        ("creative_id", strings(&creatives)),
        ("campaign_id", ids()),
        ("headline", strings(&headlines)),
        ("image", strings(&images)),
        ("as_of", as_of()),
    ];
    Ok(vec![
        ("campaigns/campaigns.parquet".to_string(), parquet(campaign_columns)?),
        ("creatives/creatives.parquet".to_string(), parquet(creative_columns)?),
    ])
}
