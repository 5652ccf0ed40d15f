//! The mean of everything: what an ad is expected to do in an hour, given the world's parameters.
//!
//! A rate is a function of (parameters, hour): season, drift, events, learning, saturation, and the
//! daily budget, which stops a campaign at the hour in which its expected cost reaches it.

use libm::{cos, exp, log, pow};

use crate::World;
use crate::entities::{Ad, Campaign};
use crate::keyed::{Stream, autoregressive};
use crate::truth::oracle::HOT;

/// What an effect changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Impressions.
    Volume,
    /// Clicks per impression.
    Ctr,
    /// Cost per click.
    Cpc,
    /// Conversions per click.
    Cvr,
    /// Value per conversion.
    Value,
    /// The daily budget.
    Budget,
    /// Comments per impression.
    Comments,
}

/// A factor on a quantity of a campaign, one of its ad sets or one of its ads, for some hours.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// What it changes.
    pub quantity: Quantity,
    /// Only this ad set, by index in the world.
    pub ad_set: Option<usize>,
    /// Only this ad, by index in the world.
    pub ad: Option<usize>,
    /// First hour.
    pub from: i64,
    /// First hour after.
    pub until: i64,
    /// Hours over which it grows; 0 is at once.
    pub ramp: i64,
    /// At its end; 0 with no ramp only.
    pub factor: f64,
    /// Only before this local hour of the day; 24 is always.
    pub before_hour: i64,
    /// Part of an incident, not a known event.
    pub incident: bool,
}

impl Effect {
    /// On a whole campaign, at once.
    pub(crate) fn new(quantity: Quantity, hours: std::ops::Range<i64>, factor: f64) -> Self {
        let (from, until) = (hours.start, hours.end);
        let (ad_set, ad) = (None, None);
        let incident = false;
        Effect { quantity, ad_set, ad, from, until, ramp: 0, factor, before_hour: 24, incident }
    }

    /// The factor at `hour`, whose local hour of the day is `of_day`.
    pub fn at(&self, hour: i64, of_day: i64) -> f64 {
        if hour < self.from || hour >= self.until || of_day >= self.before_hour {
            return 1.0;
        }
        if self.ramp == 0 {
            return self.factor;
        }
        exp(log(self.factor) * ((hour - self.from + 1) as f64 / self.ramp as f64).min(1.0))
    }

    fn touches(&self, ad: usize, ad_set: usize) -> bool {
        self.ad.is_none_or(|a| a == ad) && self.ad_set.is_none_or(|s| s == ad_set)
    }
}

/// Which causes a rate includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Drift and shocks, which no observer knows.
    pub drift: bool,
    /// Incidents.
    pub incidents: bool,
}

/// The truth.
pub(crate) const TRUE: View = View { drift: true, incidents: true };
/// What the parameters and the known events say.
pub(crate) const KNOWN: View = View { drift: false, incidents: false };

/// An ad's expectations for an hour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// Impressions.
    pub impressions: f64,
    /// Clicks per impression.
    pub ctr: f64,
    /// Currency per click; platforms that sell clicks.
    pub per_click: f64,
    /// Currency per impression; platforms that sell impressions.
    pub per_impression: f64,
    /// Conversions per click of the main action.
    pub cvr: f64,
    /// Currency per conversion.
    pub value: f64,
    /// Comments per impression over the brand's mean.
    pub comments: f64,
    /// Variance of the hour's factor.
    pub dispersion: f64,
    /// The day's budget may have stopped the campaign already, if volume is high.
    pub bound: bool,
}

impl Rate {
    /// Currency.
    pub fn cost(&self) -> f64 {
        self.impressions * (self.ctr * self.per_click + self.per_impression)
    }
}

/// Drift of a campaign on a day: logarithms.
#[derive(Clone, Copy, Default)]
struct Drift {
    volume: f64,
    ctr: f64,
    cvr: f64,
    cpc: f64,
    dispersion: f64,
}

/// What a campaign's ads share in an hour: factors.
struct Shared {
    volume: f64,
    ctr: f64,
    cvr: f64,
    cpc: f64,
    dispersion: f64,
    of_day: i64,
}

impl World {
    /// Rates of campaign `c` for the 24 hours of UTC `day`: hour by hour, ad by ad.
    pub(crate) fn day_rates(&self, c: usize, day: i64, view: View) -> Vec<Rate> {
        let campaign = &self.entities.campaigns[c];
        let clock = &self.clocks[campaign.place];
        let (first, end) = (day * 24, day * 24 + 24);
        let begin = clock.midnight(first);
        let drifts: Vec<Drift> =
            (begin.div_euclid(24)..=day + 1).map(|d| self.drift(c, d, view)).collect();
        let effects: Vec<&Effect> = self.effects[c]
            .iter()
            .filter(|e| e.from < end && e.until > begin && (view.incidents || !e.incident))
            .collect();
        let ads = campaign.ads.len();
        let mut rates = Vec::with_capacity(24 * ads);
        let (mut spent, mut hot) = (0.0, 0.0);
        for hour in begin..end {
            if clock.of_day(hour) == 0 {
                (spent, hot) = (0.0, 0.0);
            }
            let at = (hour.div_euclid(24) - begin.div_euclid(24)) as usize;
            let shared = self.shared(campaign, hour, &drifts[at], &drifts[at + 1]);
            let mut budget = campaign.budget;
            for e in effects.iter().filter(|e| e.quantity == Quantity::Budget) {
                budget *= e.at(hour, shared.of_day);
            }
            let from = rates.len();
            for k in campaign.ads.clone() {
                rates.push(self.rate(campaign, k, hour, &shared, &effects));
            }
            let cost: f64 = rates[from..].iter().map(Rate::cost).sum();
            let room = if cost > 0.0 { ((budget - spent) / cost).clamp(0.0, 1.0) } else { 1.0 };
            hot += cost * HOT;
            for rate in &mut rates[from..] {
                rate.impressions *= room;
                rate.bound = hot >= budget;
            }
            spent += cost * room;
            if hour < first {
                rates.truncate(from);
            }
        }
        rates
    }

    fn drift(&self, c: usize, day: i64, view: View) -> Drift {
        if !view.drift {
            return Drift::default();
        }
        let (campaign, seed) = (&self.entities.campaigns[c], self.settings.seed);
        let of = |stream, sd: f64| {
            sd * autoregressive(seed, stream, c as u64, day, campaign.rho) - sd * sd / 2.0
        };
        let shared = self.weather.shared(campaign.platform, campaign.brand, day);
        let fortnight = autoregressive(seed, Stream::Dispersion, c as u64, day.div_euclid(14), 0.5);
        Drift {
            volume: shared + of(Stream::VolumeLatent, campaign.volume_drift),
            ctr: of(Stream::CtrLatent, campaign.ctr_drift),
            cvr: of(Stream::CvrLatent, campaign.cvr_drift),
            cpc: of(Stream::CpcLatent, campaign.cpc_drift),
            dispersion: self.climate.dispersion_drift * fortnight,
        }
    }

    fn shared(&self, campaign: &Campaign, hour: i64, today: &Drift, next: &Drift) -> Shared {
        let clock = &self.clocks[campaign.place];
        let (of_day, local_day) = (clock.of_day(hour), clock.day(hour));
        let turn = std::f64::consts::TAU;
        let phase = (of_day as f64 + 0.5 - campaign.daily_peak) / 24.0 * turn;
        let daily =
            1.0 + campaign.daily_swing * cos(phase) + campaign.second_swing * cos(2.0 * phase);
        // Worlds begin on a Monday.
        let weekly = if local_day.rem_euclid(7) >= 5 { campaign.weekend } else { 1.0 };
        let brand = &self.entities.brands[campaign.brand];
        let of_year = (self.first_day_of_year + local_day) as f64 - brand.yearly_peak;
        let yearly = 1.0 + brand.yearly_swing * cos(of_year / 365.25 * turn);
        let (holiday, holiday_cvr) = self.weather.holiday(campaign.place, local_day);
        let part = hour.rem_euclid(24) as f64 / 24.0;
        let mix = |of: fn(&Drift) -> f64| exp(of(today) * (1.0 - part) + of(next) * part);
        Shared {
            volume: daily.max(0.02) * weekly * yearly * exp(holiday) * mix(|d| d.volume),
            ctr: mix(|d| d.ctr),
            cvr: exp(holiday_cvr) * mix(|d| d.cvr),
            cpc: mix(|d| d.cpc),
            dispersion: mix(|d| d.dispersion),
            of_day,
        }
    }

    fn rate(&self, c: &Campaign, k: usize, hour: i64, s: &Shared, effects: &[&Effect]) -> Rate {
        let ad = &self.entities.ads[k];
        if hour < ad.launch_hour {
            return Rate::default();
        }
        let (worn, learnt) = (self.worn(c, ad, hour), self.learnt(c, ad, hour));
        let (mut volume, mut ctr, mut cpc) = (1.0, 1.0, 1.0);
        let (mut cvr, mut value, mut comments) = (1.0, 1.0, 1.0);
        for e in effects.iter().filter(|e| e.touches(k, ad.ad_set)) {
            let factor = e.at(hour, s.of_day);
            match e.quantity {
                Quantity::Volume => volume *= factor,
                Quantity::Ctr => ctr *= factor,
                Quantity::Cpc => cpc *= factor,
                Quantity::Cvr => cvr *= factor,
                Quantity::Value => value *= factor,
                Quantity::Comments => comments *= factor,
                Quantity::Budget => {}
            }
        }
        let cpc = c.cpc * s.cpc * cpc;
        // Google sells clicks; the others sell impressions, at what clicks usually cost.
        let sells_clicks = c.platform == 0;
        Rate {
            impressions: c.volume * ad.share * s.volume * volume,
            ctr: (c.ctr * ad.quality * worn * s.ctr * ctr).min(0.6),
            per_click: if sells_clicks { cpc } else { 0.0 },
            per_impression: if sells_clicks { 0.0 } else { cpc * c.ctr },
            cvr: (c.cvr * learnt * s.cvr * cvr).min(0.6),
            value: c.value * value,
            comments,
            dispersion: c.dispersion * s.dispersion,
            bound: false,
        }
    }

    /// Ordinary wear: the audience has seen it.
    fn worn(&self, c: &Campaign, ad: &Ad, hour: i64) -> f64 {
        let shown = c.volume * ad.share * (hour - ad.launch_hour) as f64;
        let audience = self.entities.ad_sets[ad.ad_set].audience_size as f64;
        pow(1.0 + shown / audience, -ad.saturation)
    }

    /// Learning since launch, or since the last large edit.
    fn learnt(&self, c: &Campaign, ad: &Ad, hour: i64) -> f64 {
        let edits = self.resets[ad.campaign].iter().filter(|h| **h <= hour);
        let since = edits.fold(c.launch_hour, |a, b| a.max(*b));
        let age_days = (hour - since) as f64 / 24.0;
        1.0 - c.learning_depth * exp(-age_days / c.learning_days)
    }
}
