//! Brands, accounts, campaigns, ad sets, ads, conversion actions, and their parameters.

use libm::{exp, pow};

use crate::keyed::{Draw, Stream};
use crate::lag::Lag;
use crate::places::PLACES;
use crate::{PLATFORMS, Purpose, Settings, creative, priors};

/// Parameters of a world as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    pub volume_least: f64,
    pub volume_exponent: f64,
    pub dispersion_drift: f64,
    pub hourly_ctr: f64,
    pub market_drift: f64,
    pub platform_drift: f64,
    pub brand_drift: f64,
    pub shock_rate: f64,
    pub shock_size: f64,
    pub invalid: f64,
    pub incident_rate: f64,
    /// Daily move of an exchange rate, standard deviation of the logarithm.
    pub fx_drift: f64,
}

/// A brand: one style, one country, one account per platform.
#[derive(Clone, Debug)]
pub(crate) struct Brand {
    pub name: String,
    pub style: creative::Style,
    pub place: usize,
    pub yearly_swing: f64,
    pub yearly_peak: f64,
    pub comments: f64,
    pub goodwill: f64,
}

/// A brand's account on a platform, with its pixel.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: String,
    pub pixel: String,
    pub brand: usize,
    pub platform: usize,
    pub currency: &'static str,
    pub tz: &'static str,
    /// Index in [`crate::conversions::windows`] of the platform.
    pub window: usize,
}

/// What a campaign counts as a conversion.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// `purchase`, `lead` or `add_to_cart`.
    pub kind: &'static str,
    /// Conversions per click, over the campaign's.
    pub share: f64,
    pub lag: Lag,
    /// Value of one over the campaign's mean value.
    pub worth: f64,
    /// First hour it is counted.
    pub from: i64,
}

/// A campaign and the parameters its numbers are drawn with. Amounts are in its currency.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub id: String,
    pub name: String,
    pub account: usize,
    pub brand: usize,
    pub platform: usize,
    pub place: usize,
    pub objective: &'static str,
    pub launch_hour: i64,
    /// Impressions in a mean hour.
    pub volume: f64,
    pub ctr: f64,
    pub cvr: f64,
    /// Currency per click.
    pub cpc: f64,
    /// Currency per conversion.
    pub value: f64,
    pub value_spread: f64,
    pub daily_swing: f64,
    pub daily_peak: f64,
    pub second_swing: f64,
    pub weekend: f64,
    pub rho: f64,
    pub volume_drift: f64,
    pub ctr_drift: f64,
    pub cvr_drift: f64,
    pub cpc_drift: f64,
    pub dispersion: f64,
    pub learning_depth: f64,
    pub learning_days: f64,
    /// Currency per local day.
    pub budget: f64,
    pub actions: Vec<Action>,
    /// Its ads in [`Entities::ads`].
    pub ads: std::ops::Range<usize>,
    /// Its ad sets in [`Entities::ad_sets`].
    pub ad_sets: std::ops::Range<usize>,
}

/// A group of ads with one audience.
#[derive(Clone, Debug)]
pub(crate) struct AdSet {
    pub id: String,
    pub campaign: usize,
    pub audience: &'static str,
    pub audience_size: i64,
}

/// An ad.
#[derive(Clone, Debug)]
pub(crate) struct Ad {
    pub id: String,
    pub campaign: usize,
    pub ad_set: usize,
    /// Of its campaign's volume.
    pub share: f64,
    pub quality: f64,
    pub saturation: f64,
    pub launch_hour: i64,
}

/// All entities of a world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entities {
    pub brands: Vec<Brand>,
    pub accounts: Vec<Account>,
    pub campaigns: Vec<Campaign>,
    pub ad_sets: Vec<AdSet>,
    pub ads: Vec<Ad>,
}

const AUDIENCES: [&str; 8] = [
    "broad 18-65",
    "lookalike 1 %",
    "lookalike 5 %",
    "visitors 30 days",
    "cart leavers 14 days",
    "interest: outdoor",
    "interest: home",
    "customers, excluded buyers",
];
/// The largest campaign over the smallest.
const VOLUME_CUT: f64 = 2_500.0;
const OBJECTIVES: [&str; 3] = ["sales", "leads", "traffic"];

pub(crate) fn climate(settings: &Settings) -> Climate {
    let mut draw = Draw::new(settings.seed, Stream::World, 0, 0);
    let noise = settings.noise.factor();
    let mut of = |p: &priors::Prior| p.draw(&mut draw);
    Climate {
        volume_least: of(&priors::VOLUME_LEAST),
        volume_exponent: of(&priors::VOLUME_EXPONENT),
        dispersion_drift: of(&priors::DISPERSION_DRIFT),
        hourly_ctr: of(&priors::HOURLY_CTR) * noise,
        market_drift: of(&priors::MARKET_DRIFT) * noise,
        platform_drift: of(&priors::PLATFORM_DRIFT) * noise,
        brand_drift: of(&priors::BRAND_DRIFT) * noise,
        shock_rate: of(&priors::SHOCK_RATE),
        shock_size: of(&priors::SHOCK_SIZE) * noise,
        invalid: of(&priors::INVALID),
        incident_rate: of(&priors::INCIDENT_RATE),
        fx_drift: of(&priors::FX_DRIFT),
    }
}

impl Entities {
    /// The entities of `settings`, brands and templates by its purpose.
    pub fn new(settings: &Settings, climate: &Climate) -> Self {
        let mut all = Entities::default();
        let brands = settings.campaigns.div_ceil(8).max(1) as usize;
        for b in 0..brands {
            all.brands.push(brand(settings, b));
        }
        for i in 0..settings.campaigns as usize {
            let brand = i % brands;
            let platform = if i < PLATFORMS.len() {
                i
            } else {
                let mut draw = Draw::new(settings.seed, Stream::Campaign, i as u64, -1);
                *draw.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 3])
            };
            let account = all.account(settings, brand, platform);
            all.campaign(settings, climate, i, account);
        }
        all
    }

    /// The account of a brand on a platform.
    fn account(&mut self, settings: &Settings, brand: usize, platform: usize) -> usize {
        let found = self.accounts.iter().rposition(|a| a.brand == brand && a.platform == platform);
        found.unwrap_or_else(|| {
            let n = brand * PLATFORMS.len() + platform;
            let place = &PLACES[self.brands[brand].place];
            let mut draw = Draw::new(settings.seed, Stream::Brand, n as u64, 1);
            self.accounts.push(Account {
                id: format!("a{n:04}"),
                pixel: format!("px{n:04}"),
                brand,
                platform,
                currency: place.currency,
                tz: place.zone.name(),
                window: draw.below(crate::conversions::windows(platform).len().min(2)),
            });
            self.accounts.len() - 1
        })
    }

    fn campaign(&mut self, settings: &Settings, climate: &Climate, i: usize, account: usize) {
        let (brand, platform) = (self.accounts[account].brand, self.accounts[account].platform);
        let mut draw = Draw::new(settings.seed, Stream::Campaign, i as u64, 0);
        let noise = settings.noise.factor();
        let place = self.brands[brand].place;
        let spread = pow(priors::VOLUME_SPREAD.draw(&mut draw), 1.0 / climate.volume_exponent);
        let volume = climate.volume_least * spread.min(VOLUME_CUT);
        let ctr = if platform == 0 { &priors::CTR_SEARCH } else { &priors::CTR_SOCIAL };
        let (ctr, cvr) = (ctr.draw(&mut draw).min(0.3), priors::CVR.draw(&mut draw).min(0.3));
        let cpc = priors::CPC.draw(&mut draw) * PLACES[place].per_usd;
        let value = cpc / cvr * priors::RETURN.draw(&mut draw);
        let budget = (volume * 24.0 * ctr * cpc * priors::BUDGET_ROOM.draw(&mut draw)).max(1.0);
        let launch_hour = match draw.chance(0.6) {
            true => 0,
            false => 24 * draw.below((settings.days as usize / 3).max(1)) as i64,
        };
        let objective = *draw.pick(&OBJECTIVES);
        let mut of = |p: &priors::Prior| p.draw(&mut draw);
        let campaign = Campaign {
            id: format!("c{i:05}"),
            name: format!("{} {} {objective} {i}", self.brands[brand].name, PLATFORMS[platform]),
            account,
            brand,
            platform,
            place,
            objective,
            launch_hour,
            volume,
            ctr,
            cvr,
            cpc,
            value,
            value_spread: of(&priors::VALUE_SPREAD),
            daily_swing: of(&priors::DAILY_SWING),
            daily_peak: of(&priors::DAILY_PEAK),
            second_swing: of(&priors::SECOND_SWING),
            weekend: of(&priors::WEEKEND),
            rho: of(&priors::RHO),
            volume_drift: of(&priors::VOLUME_DRIFT) * noise,
            ctr_drift: of(&priors::CTR_DRIFT) * noise,
            cvr_drift: of(&priors::CVR_DRIFT) * noise,
            cpc_drift: of(&priors::CPC_DRIFT) * noise,
            dispersion: of(&priors::DISPERSION) * noise,
            learning_depth: of(&priors::LEARNING_DEPTH),
            learning_days: of(&priors::LEARNING_DAYS),
            budget: budget.round(),
            actions: actions(settings, i, objective),
            ads: self.ads.len()..self.ads.len(),
            ad_sets: self.ad_sets.len()..self.ad_sets.len(),
        };
        self.campaigns.push(campaign);
        self.grow(settings, i);
    }

    /// The ad sets and ads of campaign `i`, one to three each.
    fn grow(&mut self, settings: &Settings, i: usize) {
        let (first_ad, first_set) = (self.ads.len(), self.ad_sets.len());
        let mut draw = Draw::new(settings.seed, Stream::AdSet, i as u64, 0);
        let id = self.campaigns[i].id.clone();
        for s in 0..*draw.pick(&[1, 1, 2, 3]) {
            self.ad_sets.push(AdSet {
                id: format!("{id}-s{s}"),
                campaign: i,
                audience: AUDIENCES[draw.below(AUDIENCES.len())],
                audience_size: exp(draw.between(9.2, 16.0)) as i64,
            });
            for a in 0..*draw.pick(&[1, 1, 2, 3]) {
                let (weight, launch_hour) = (draw.between(0.4, 1.6), self.campaigns[i].launch_hour);
                self.ads.push(Ad {
                    id: format!("{id}-s{s}-a{a}"),
                    campaign: i,
                    ad_set: self.ad_sets.len() - 1,
                    share: weight,
                    quality: priors::AD_QUALITY.draw(&mut draw),
                    saturation: priors::SATURATION.draw(&mut draw),
                    launch_hour,
                });
            }
        }
        let total: f64 = self.ads[first_ad..].iter().map(|a| a.share).sum();
        self.ads[first_ad..].iter_mut().for_each(|a| a.share /= total);
        self.campaigns[i].ads = first_ad..self.ads.len();
        self.campaigns[i].ad_sets = first_set..self.ad_sets.len();
    }
}

fn brand(settings: &Settings, b: usize) -> Brand {
    let mut draw = Draw::new(settings.seed, Stream::Brand, b as u64, 0);
    let evaluation = settings.purpose == Purpose::Evaluation;
    let style = creative::Style::new(&mut draw, evaluation);
    let name = creative::brand_name(&mut draw, evaluation, b);
    let place = if b < 3 { b } else { draw.below(PLACES.len()) };
    let mut of = |p: &priors::Prior| p.draw(&mut draw);
    Brand {
        name,
        style,
        place,
        yearly_swing: of(&priors::YEARLY_SWING),
        yearly_peak: of(&priors::YEARLY_PEAK),
        comments: of(&priors::COMMENTS),
        goodwill: of(&priors::GOODWILL),
    }
}

/// One to three conversion actions, the main one first.
fn actions(settings: &Settings, i: usize, objective: &str) -> Vec<Action> {
    let mut draw = Draw::new(settings.seed, Stream::Action, i as u64, 0);
    let main = if objective == "leads" { "lead" } else { "purchase" };
    let mut all =
        vec![Action { kind: main, share: 1.0, lag: Lag::new(&mut draw), worth: 1.0, from: 0 }];
    if main == "purchase" && draw.chance(0.6) {
        let share = draw.between(1.5, 4.0);
        let mut lag = Lag::new(&mut draw);
        (lag.scale_days, lag.retracted) = (lag.scale_days.min(1.0), 0.0);
        all.push(Action { kind: "add_to_cart", share, lag, worth: 0.0, from: 0 });
    }
    all
}
