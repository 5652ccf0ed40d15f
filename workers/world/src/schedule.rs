//! When what is delivered: fresh hours, and the days a platform restates.

use std::collections::BTreeMap;

use crate::World;

/// Ages in days at which a platform restates a day.
const RESTATED_AGES: [i64; 14] = [1, 2, 3, 5, 7, 10, 14, 21, 28, 35, 45, 60, 75, 90];
/// With several deliveries a day, each reads these hours again.
const ROLLING_HOURS: i64 = 24;

/// An extract that comes late: nothing of `platform` is delivered meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub platform: usize,
    pub from: i64,
    pub until: i64,
}

impl World {
    /// Days that are delivered at once.
    pub(crate) fn history_days(&self) -> i64 {
        i64::from(self.settings.days.saturating_sub(self.settings.live_days))
    }

    fn per_day(&self) -> i64 {
        i64::from(self.settings.deliveries_per_day.clamp(1, 24))
    }

    /// How many deliveries there are: the history, then those of the live days.
    pub fn deliveries(&self) -> u32 {
        1 + self.settings.live_days.min(self.settings.days) * self.per_day() as u32
    }

    /// When delivery `n` is made, in hours since the world began.
    pub fn delivered_hour(&self, n: u32) -> i64 {
        self.history_days() * 24 + 6 + i64::from(n) * (24 / self.per_day())
    }

    /// Is delivery `n` of a platform held up?
    fn held_up(&self, platform: usize, n: u32) -> Option<&Late> {
        let at = self.delivered_hour(n);
        self.lates.iter().find(|l| l.platform == platform && l.from <= at && at < l.until)
    }

    /// The first hour that delivery `n` of `platform` (by index) does not have yet.
    pub fn cut(&self, platform: usize, n: u32) -> i64 {
        let at = match self.held_up(platform, n) {
            // As it was before it was held up.
            Some(late) => {
                let before = |t: &i64| *t < late.from;
                (0..n).map(|m| self.delivered_hour(m)).rfind(before).unwrap_or(late.from)
            }
            None => self.delivered_hour(n),
        };
        // A daily extract has whole days; a frequent one all but the last two hours.
        let delay = if self.per_day() == 1 { 6 } else { 2 };
        (at - delay).min(i64::from(self.settings.days) * 24)
    }

    /// The hours that delivery `n` reports for a platform. For those it had reported before, when
    /// (or earlier): only what changed since is delivered again.
    pub fn reported(&self, platform: usize, n: u32) -> BTreeMap<i64, Option<i64>> {
        if n == 0 {
            return (0..self.cut(platform, 0)).map(|h| (h, None)).collect();
        }
        if self.held_up(platform, n).is_some() {
            return BTreeMap::new();
        }
        let (cut, known) = (self.cut(platform, n), self.cut(platform, n - 1));
        let mut hours: BTreeMap<i64, Option<i64>> = BTreeMap::new();
        let mut again = |range: std::ops::Range<i64>, since: i64| {
            for hour in range.start.max(0)..range.end.min(known) {
                let entry = hours.entry(hour).or_insert(Some(since));
                *entry = (*entry).min(Some(since));
            }
        };
        let mut made = (0..n).rev().filter(|m| self.held_up(platform, *m).is_none());
        let before = self.delivered_hour(made.next().unwrap_or(0));
        let at = self.delivered_hour(n);
        if self.per_day() > 1 {
            again(known - ROLLING_HOURS..cut, before);
        }
        if i64::from(n) % self.per_day() == 0 {
            let newest = cut.div_euclid(24) - 1;
            for (i, age) in RESTATED_AGES.iter().enumerate() {
                let gap = age - if i == 0 { 0 } else { RESTATED_AGES[i - 1] };
                let last = (i64::from(n) - gap * self.per_day()).max(0) as u32;
                // If that one was held up, nobody knows when the day was read: read all of it.
                let last = if self.held_up(platform, last).is_some() { 0 } else { last };
                let day = newest - age;
                again(day * 24..day * 24 + 24, self.delivered_hour(last));
            }
        }
        let corrected = |c: i64| before < c && c <= at;
        for fault in self.faults.iter().filter(|f| corrected(f.corrected)) {
            if self.entities.accounts[fault.account].platform == platform {
                again(fault.from..fault.until, before);
            }
        }
        hours.extend((known..cut).map(|h| (h, None)));
        hours
    }
}
