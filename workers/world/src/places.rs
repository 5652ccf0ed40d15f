//! Countries: currency, zone, holidays; and the account's clock with its 23- and 25-hour days.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

use crate::HOUR_US;

/// A country in which brands advertise.
pub(crate) struct Place {
    pub country: &'static str,
    pub currency: &'static str,
    pub zone: Tz,
    /// Units of the currency per US dollar, about 2026.
    pub per_usd: f64,
}

/// Whole-hour zones only, north and south, with and without daylight saving.
pub(crate) const PLACES: [Place; 8] = [
    Place { country: "DE", currency: "EUR", zone: Tz::Europe__Berlin, per_usd: 0.92 },
    Place { country: "US", currency: "USD", zone: Tz::America__New_York, per_usd: 1.0 },
    Place { country: "GB", currency: "GBP", zone: Tz::Europe__London, per_usd: 0.79 },
    Place { country: "US", currency: "USD", zone: Tz::America__Los_Angeles, per_usd: 1.0 },
    Place { country: "JP", currency: "JPY", zone: Tz::Asia__Tokyo, per_usd: 149.0 },
    Place { country: "FR", currency: "EUR", zone: Tz::Europe__Paris, per_usd: 0.92 },
    Place { country: "AU", currency: "AUD", zone: Tz::Australia__Sydney, per_usd: 1.52 },
    Place { country: "BR", currency: "BRL", zone: Tz::America__Sao_Paulo, per_usd: 5.4 },
];

/// Countries of [`PLACES`], each once.
pub(crate) const COUNTRIES: [&str; 7] = ["DE", "US", "GB", "JP", "FR", "AU", "BR"];

/// Offsets of a zone from UTC, for each hour of a world.
pub(crate) struct Clock {
    offsets: Vec<i8>,
}

/// Hours before the world begins that a [`Clock`] knows.
const BEFORE: i64 = 48;

impl Clock {
    pub fn new(zone: Tz, begin_us: i64, hours: i64) -> Self {
        let at = |h: i64| {
            let utc = DateTime::from_timestamp_micros(begin_us + h * HOUR_US)
                .expect("worlds begin within chrono's range");
            let offset = zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
            (offset.local_minus_utc() / 3600) as i8
        };
        Clock { offsets: (-BEFORE..hours + BEFORE).map(at).collect() }
    }

    fn offset(&self, hour: i64) -> i64 {
        let last = self.offsets.len() as i64 - 1;
        i64::from(self.offsets[(hour + BEFORE).clamp(0, last) as usize])
    }

    /// Hour of the local day, 0 to 23.
    pub fn of_day(&self, hour: i64) -> i64 {
        (hour + self.offset(hour)).rem_euclid(24)
    }

    /// Local day, counted from the world's first UTC day.
    pub fn day(&self, hour: i64) -> i64 {
        (hour + self.offset(hour)).div_euclid(24)
    }

    /// The first hour of `hour`'s local day.
    pub fn midnight(&self, hour: i64) -> i64 {
        let day = self.day(hour);
        let mut first = hour - self.of_day(hour) - 1;
        while self.day(first) < day {
            first += 1;
        }
        first
    }

    /// Hours in `hours` before which the clock was put forward (1) or back (-1).
    pub fn changes(&self, hours: i64) -> Vec<(i64, i64)> {
        let moved = |h: i64| self.offset(h) - self.offset(h - 1);
        (1..hours).filter(|h| moved(*h) != 0).map(|h| (h, moved(h))).collect()
    }
}

/// A day that a country treats differently.
#[derive(Clone)]
pub(crate) struct Holiday {
    pub country: &'static str,
    pub date: NaiveDate,
    pub name: &'static str,
    /// `holiday` or `shopping`.
    pub kind: &'static str,
}

/// (countries, month, day, name, kind); an empty list of countries means all.
const FIXED: [(&[&str], u32, u32, &str, &str); 22] = [
    (&[], 1, 1, "New Year", "holiday"),
    (&["DE"], 1, 6, "Epiphany", "holiday"),
    (&["JP"], 1, 12, "Coming of Age Day", "holiday"),
    (&["US"], 1, 19, "Martin Luther King Day", "holiday"),
    (&["AU"], 1, 26, "Australia Day", "holiday"),
    (&["JP"], 2, 11, "National Foundation Day", "holiday"),
    (&["US", "GB", "FR", "JP", "AU"], 2, 14, "Valentine's Day", "shopping"),
    (&["BR"], 2, 17, "Carnival", "holiday"),
    (&["BR"], 4, 21, "Tiradentes", "holiday"),
    (&["AU"], 4, 25, "Anzac Day", "holiday"),
    (&["JP"], 5, 3, "Golden Week", "holiday"),
    (&["DE", "FR", "BR", "GB"], 5, 1, "Labour Day", "holiday"),
    (&["US"], 7, 4, "Independence Day", "holiday"),
    (&["FR"], 7, 14, "Bastille Day", "holiday"),
    (&["JP"], 8, 13, "Obon", "holiday"),
    (&["FR"], 8, 15, "Assumption", "holiday"),
    (&["BR"], 9, 7, "Independence Day", "holiday"),
    (&["DE"], 10, 3, "German Unity Day", "holiday"),
    (&[], 11, 27, "Black Friday", "shopping"),
    (&[], 11, 30, "Cyber Monday", "shopping"),
    (&["DE", "US", "GB", "FR", "AU", "BR"], 12, 25, "Christmas Day", "holiday"),
    (&["US", "GB", "DE", "FR"], 12, 31, "New Year's Eve", "holiday"),
];

/// Easter Sunday (the anonymous Gregorian computus).
fn easter(year: i32) -> Option<NaiveDate> {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    NaiveDate::from_ymd_opt(year, month as u32, day as u32)
}

/// The calendar from `begin` for `days`. Shopping days that move are kept on 2026's dates.
pub(crate) fn calendar(begin: NaiveDate, days: i64) -> Vec<Holiday> {
    let mut found = vec![];
    for year in begin.year()..=begin.year() + 1 + (days / 365) as i32 {
        for (countries, month, day, name, kind) in FIXED {
            let all = if countries.is_empty() { &COUNTRIES[..] } else { countries };
            let date = NaiveDate::from_ymd_opt(year, month, day);
            let of = |country: &&'static str| Some(Holiday { country, date: date?, name, kind });
            found.extend(all.iter().filter_map(of));
        }
        let western = ["DE", "GB", "FR", "AU", "BR"];
        for (shift, name) in [(-2, "Good Friday"), (1, "Easter Monday")] {
            let date =
                easter(year).and_then(|d| d.checked_add_signed(chrono::TimeDelta::days(shift)));
            let of =
                |c: &'static str| Some(Holiday { country: c, date: date?, name, kind: "holiday" });
            found.extend(western.into_iter().filter_map(of));
        }
    }
    found.retain(|h| (0..days).contains(&(h.date - begin).num_days()));
    found.sort_by_key(|h| (h.date, h.country, h.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_23_24_or_25_hours() {
        let clock = Clock::new(Tz::Europe__Berlin, crate::BEGIN_US, 365 * 24);
        let mut lengths = std::collections::BTreeMap::new();
        for hour in 24..360 * 24 {
            *lengths.entry(clock.day(hour)).or_insert(0) += 1;
        }
        let inner: Vec<i32> = lengths.values().copied().collect();
        let count = |n| inner[1..inner.len() - 1].iter().filter(|l| **l == n).count();
        assert_eq!((count(23), count(25)), (1, 1));
        let at = clock.changes(365 * 24);
        assert_eq!((at.len(), at[0].1, at[1].1), (2, 1, -1));
        assert_eq!(clock.midnight(at[0].0 + 5), clock.midnight(at[0].0));
    }

    #[test]
    fn easter_moves() {
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d);
        assert_eq!(easter(2026), day(2026, 4, 5));
        assert_eq!(easter(2027), day(2027, 3, 28));
    }
}
