//! Single conversions: how many, when, worth what, taken back when; and what each window counts.

use libm::exp;

use crate::World;
use crate::keyed::{Draw, Stream};
use crate::rates::Rate;

/// An attribution window.
pub(crate) struct Window {
    pub name: &'static str,
    pub days: f64,
    /// Counts people who only saw the ad.
    pub view: bool,
}

const fn window(name: &'static str, days: f64, view: bool) -> Window {
    Window { name, days, view }
}

/// The windows a platform reports; an account's main one is among the first two.
/// Meta's since 12 January 2026; the others' defaults.
pub(crate) fn windows(platform: usize) -> &'static [Window] {
    const GOOGLE: [Window; 2] =
        [window("30d_click", 30.0, false), window("90d_click", 90.0, false)];
    const META: [Window; 4] = [
        window("7d_click", 7.0, false),
        window("1d_click", 1.0, false),
        window("28d_click", 28.0, false),
        window("1d_view", 1.0, true),
    ];
    const TIKTOK: [Window; 2] = [window("7d_click", 7.0, false), window("1d_click", 1.0, false)];
    const X: [Window; 2] = [window("30d_click", 30.0, false), window("7d_click", 7.0, false)];
    match platform {
        0 => &GOOGLE,
        1 => &META,
        2 => &TIKTOK,
        _ => &X,
    }
}

/// The names under which a platform reports one event; Meta's overlap and must never be added.
pub(crate) fn action_types(platform: usize, kind: &str) -> &'static [&'static str] {
    match (platform, kind) {
        (0, "purchase") => &["PURCHASE"],
        (0, "lead") => &["SUBMIT_LEAD_FORM"],
        (0, "signup") => &["SIGNUP"],
        (0, _) => &["ADD_TO_CART"],
        (1, "purchase") => &["omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase"],
        (1, "lead") => &["lead", "offsite_conversion.fb_pixel_lead"],
        (1, "signup") => {
            &["omni_complete_registration", "offsite_conversion.fb_pixel_complete_registration"]
        }
        (1, _) => &["omni_add_to_cart", "add_to_cart", "offsite_conversion.fb_pixel_add_to_cart"],
        (_, "purchase") => &["complete_payment"],
        (_, "lead") => &["form"],
        (_, "signup") => &["registration"],
        (_, _) => &["add_to_cart"],
    }
}

/// One conversion of an ad's hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversion {
    /// Index in the campaign's actions.
    pub action: usize,
    /// Seen, not clicked.
    pub view: bool,
    /// When it happened, hours since the world began.
    pub at: f64,
    /// When it is taken back; infinite for most.
    pub back: f64,
    pub lag_days: f64,
    /// Attributed share of it, 10^-6.
    pub credit_micros: i64,
    /// 10^-6 of the currency.
    pub value_micros: i64,
    /// The pixel was down: a real order that no platform ever reports.
    pub lost: bool,
}

impl Conversion {
    /// Counted in a window at `seen`, hours since the world began.
    pub fn counts(&self, window: &Window, seen: f64) -> bool {
        !self.lost
            && self.at <= seen
            && self.back > seen
            && self.lag_days <= window.days
            && (!self.view || window.view)
            && (self.view || !window.view)
    }
}

/// Hours during which a pixel loses conversions, and the share that still gets through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub account: usize,
    pub from: i64,
    pub until: i64,
    pub through: f64,
}

impl World {
    /// The conversions of an ad's `clicks` in `hour`, appended to `into`.
    pub(crate) fn convert(
        &self,
        k: usize,
        hour: i64,
        clicks: i64,
        rate: &Rate,
        into: &mut Vec<Conversion>,
    ) {
        if clicks == 0 {
            return;
        }
        let campaign = &self.entities.campaigns[self.entities.ads[k].campaign];
        let mut draw = Draw::new(self.settings.seed, Stream::Conversion, k as u64, hour);
        for (action, a) in campaign.actions.iter().enumerate() {
            let clicked = draw.binomial(clicks, (rate.cvr * a.share).min(0.9));
            // Meta's views: a quarter as many again, counted in their own window only.
            let viewed = if campaign.platform == 1 { draw.binomial(clicked, 0.25) } else { 0 };
            for n in 0..clicked + viewed {
                let mut lag_days = a.lag.sample(&mut draw);
                let back_days = a.lag.retraction(&mut draw, lag_days);
                if hour < a.from {
                    continue;
                }
                if n >= clicked {
                    lag_days = lag_days.min(0.99);
                }
                let spread = campaign.value_spread;
                let worth = exp(spread * draw.normal() - spread * spread / 2.0) * a.worth;
                let credit_micros = match campaign.platform {
                    0 => *draw.pick(&[1_000_000, 1_000_000, 500_000, 330_000]),
                    _ => 1_000_000,
                };
                let at = hour as f64 + 0.5 + lag_days * 24.0;
                let credit = credit_micros as f64 / 1e6;
                into.push(Conversion {
                    action,
                    view: n >= clicked,
                    at,
                    back: hour as f64 + 0.5 + back_days * 24.0,
                    lag_days,
                    credit_micros,
                    value_micros: (rate.value * worth * credit * 1e6).round() as i64,
                    lost: self.lost(campaign.account, at, &mut draw),
                });
            }
        }
    }

    fn lost(&self, account: usize, at: f64, draw: &mut Draw) -> bool {
        let u = draw.unit();
        let mut over = self.outages.iter().filter(|o| o.account == account);
        over.any(|o| at >= o.from as f64 && at < o.until as f64 && u >= o.through)
    }
}

/// Mean credit of a conversion, by platform.
pub(crate) fn credit(platform: usize) -> f64 {
    if platform == 0 { (1.0 + 1.0 + 0.5 + 0.33) / 4.0 } else { 1.0 }
}
