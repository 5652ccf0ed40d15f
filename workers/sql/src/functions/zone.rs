//! Zones of the IANA database (the edition compiled in) and their days: what `local_day`,
//! `local_hour`, `day_start` and `hours_in_day` share.
//!
//! A zone is a column, so that each account has its own. A name that no zone has is a fault of its
//! row; written out in the text, it is refused with the statement.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};
use schemas::normal::UTC;

const SECOND_US: i64 = 1_000_000;
/// A day of 24 hours.
pub(super) const DAY_US: i64 = 86_400 * SECOND_US;

/// A zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<Tz> {
    match name.parse() {
        Ok(zone) => Ok(zone),
        Err(_) => exec_err!("{}", unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    format!("no time zone is named '{name}': write an IANA name, such as 'America/New_York'")
}

/// What the clocks of `zone` show at `utc_us`, as if it were UTC.
pub(super) fn local_us(zone: Tz, utc_us: i64) -> Result<i64> {
    let Some(utc) = DateTime::from_timestamp_micros(utc_us) else {
        return exec_err!("{utc_us} microseconds after 1970 are beyond the calendar");
    };
    let ahead = zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc();
    Ok(utc_us + i64::from(ahead) * SECOND_US)
}

/// The first instant at which the clocks of `zone` show `day` (days after 1970) or, if they leave
/// it out, a later one. Microseconds, UTC.
pub(super) fn day_start_us(zone: Tz, day: i32) -> Result<i64> {
    let midnight = i64::from(day) * DAY_US;
    let (yesterday, tomorrow) = (midnight - DAY_US, midnight + DAY_US);
    // Clocks that show midnight are as far ahead as they were the day before, or are the day after.
    let mut first = None;
    for near in [yesterday, tomorrow] {
        let at = midnight - (local_us(zone, near)? - near);
        if local_us(zone, at)? == midnight {
            first = Some(first.map_or(at, |f: i64| f.min(at)));
        }
    }
    if let Some(first) = first {
        return Ok(first);
    }
    // They never do: the day begins when they are put forward over it.
    let (mut before, mut after) = (yesterday, tomorrow);
    while after - before > 1 {
        let between = before + (after - before) / 2;
        match local_us(zone, between)? < midnight {
            true => before = between,
            false => after = between,
        }
    }
    Ok(after)
}

/// Types for a call with an instant and a zone.
pub(super) fn instant_and_zone(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let instant = |t: &DataType| match t {
        // Zoned timestamps are instants too; casting them to plain ones would move their clocks.
        DataType::Timestamp(_, Some(_)) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))
        }
        DataType::Timestamp(_, None) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        t if text(t) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => None,
    };
    match types {
        [at, zone] if text(zone) => match instant(at) {
            Some(at) => Ok(vec![at, DataType::Utf8]),
            None => plan_err!("{name}(at, zone): 'at' is {at}, and has to be a TIMESTAMP (UTC)"),
        },
        _ => plan_err!("{name} takes a TIMESTAMP (UTC) and the name of a time zone"),
    }
}

/// Types for a call with a local day and a zone.
pub(super) fn day_and_zone(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Date32 | DataType::Date64, zone] if text(zone) => {
            Ok(vec![DataType::Date32, DataType::Utf8])
        }
        [day, zone] if text(day) && text(zone) => Ok(vec![DataType::Date32, DataType::Utf8]),
        [day @ DataType::Timestamp(_, _), _] => {
            plan_err!("{name}(day, zone): 'day' is {day}: write local_day(…, zone) around it")
        }
        _ => plan_err!("{name} takes a DATE (local) and the name of a time zone"),
    }
}

/// Text, or a null of no type.
fn text(t: &DataType) -> bool {
    t.is_string() || t.is_null()
}

/// Refuse a zone that is written out and does not exist.
pub(super) fn check_zone(args: &ReturnFieldArgs<'_>) -> Result<()> {
    let Some(Some(value)) = args.scalar_arguments.get(1) else { return Ok(()) };
    match value.try_as_str() {
        Some(Some(name)) if name.parse::<Tz>().is_err() => plan_err!("{}", unknown(name)),
        _ => Ok(()),
    }
}

/// `one` of each value and its zone; null if either is.
pub(super) fn each<From, To>(
    args: &ScalarFunctionArgs,
    one: impl Fn(Tz, From::Native) -> Result<To::Native>,
) -> Result<ColumnarValue>
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType,
{
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let (values, names) = (arrays[0].as_primitive::<From>(), arrays[1].as_string::<i32>());
    // Neighbours mostly share a zone.
    let mut last: Option<(&str, Tz)> = None;
    let mut made = PrimitiveArray::<To>::builder(values.len());
    for (value, name) in values.iter().zip(names) {
        let (Some(value), Some(name)) = (value, name) else {
            made.append_null();
            continue;
        };
        let known = last.filter(|(n, _)| *n == name).map(|(_, zone)| zone);
        let zone = known.map_or_else(|| zone(name), Ok)?;
        last = Some((name, zone));
        made.append_value(one(zone, value)?);
    }
    let made: ArrayRef = Arc::new(made.finish());
    // A call with constants only is a constant.
    match args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)),
        false => Ok(ColumnarValue::Array(made)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveDateTime, Timelike};

    use super::*;

    fn us(text: &str) -> i64 {
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
        at.and_utc().timestamp_micros()
    }

    fn days(text: &str) -> i32 {
        let day: NaiveDate = text.parse().expect("a day");
        i32::try_from((day - NaiveDate::default()).num_days()).expect("a DATE")
    }

    #[test]
    fn days_begin_when_the_clocks_first_show_them() {
        for (name, day, begins, hours) in [
            ("America/New_York", "2026-03-08", "2026-03-08 05:00", 23.0),
            ("America/New_York", "2026-11-01", "2026-11-01 04:00", 25.0),
            ("Europe/Berlin", "2026-03-29", "2026-03-28 23:00", 23.0),
            ("Europe/Berlin", "2026-10-25", "2026-10-24 22:00", 25.0),
            ("Asia/Kolkata", "2026-03-29", "2026-03-28 18:30", 24.0),
            ("Asia/Kathmandu", "2026-03-29", "2026-03-28 18:15", 24.0),
            // Midnight does not exist.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04 03:00", 23.0),
            ("Asia/Beirut", "2026-03-29", "2026-03-28 22:00", 23.0),
            ("America/Havana", "2026-03-08", "2026-03-08 05:00", 23.0),
            // 23:00 comes twice, so the day before is long.
            ("America/Sao_Paulo", "2018-02-17", "2018-02-17 02:00", 25.0),
            ("America/Sao_Paulo", "2018-02-18", "2018-02-18 03:00", 24.0),
            // Midnight comes twice: the first one counts.
            ("America/Havana", "2026-11-01", "2026-11-01 04:00", 25.0),
            // Half an hour.
            ("Australia/Lord_Howe", "2026-04-05", "2026-04-04 13:00", 24.5),
            ("Australia/Lord_Howe", "2026-10-04", "2026-10-03 13:30", 23.5),
            // A day that Samoa left out.
            ("Pacific/Apia", "2011-12-29", "2011-12-29 10:00", 24.0),
            ("Pacific/Apia", "2011-12-30", "2011-12-30 10:00", 0.0),
            ("Pacific/Apia", "2011-12-31", "2011-12-30 10:00", 24.0),
        ] {
            let zone = zone(name).expect("a zone");
            let start = day_start_us(zone, days(day)).expect("it begins");
            assert_eq!(start, us(begins), "{name} {day}");
            let next = day_start_us(zone, days(day) + 1).expect("it ends");
            assert_eq!((next - start) as f64 / 3.6e9, hours, "{name} {day}");
        }
    }

    #[test]
    fn every_instant_lies_in_the_day_that_its_clocks_show() {
        const STEP_US: i64 = 15 * 60 * SECOND_US;
        for name in [
            "America/New_York",
            "America/Sao_Paulo",
            "America/Santiago",
            "America/Havana",
            "Europe/Berlin",
            "Europe/Dublin",
            "Africa/Casablanca",
            "Asia/Beirut",
            "Asia/Gaza",
            "Asia/Kolkata",
            "Asia/Tehran",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Pacific/Chatham",
            "UTC",
        ] {
            let zone = zone(name).expect("a zone");
            let mut shown = i64::MIN;
            for at in (us("2010-01-01 00:00")..us("2020-01-01 00:00")).step_by(STEP_US as usize) {
                let day = local_us(zone, at).expect("in range").div_euclid(DAY_US);
                if day > shown {
                    // The clocks show the day for the first time.
                    let start = day_start_us(zone, day as i32).expect("it begins");
                    assert!(shown == i64::MIN || start == at, "{name} {at} {start}");
                    shown = day;
                }
            }
        }
    }

    #[test]
    fn the_clocks_of_a_repeated_hour_show_the_same() {
        let zone = zone("America/New_York").expect("a zone");
        let shown = |at: &str| local_us(zone, us(at)).expect("in range");
        assert_eq!(shown("2026-11-01 05:30"), us("2026-11-01 01:30"));
        assert_eq!(shown("2026-11-01 06:30"), us("2026-11-01 01:30"));
        let wall = DateTime::from_timestamp_micros(shown("2026-03-08 07:00")).expect("in range");
        assert_eq!(wall.hour(), 3);
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let said = zone("Mars/Olympus").expect_err("no such zone").to_string();
        assert!(said.contains("'Mars/Olympus'"), "{said}");
    }
}
