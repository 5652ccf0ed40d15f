//! What people see: each brand's name, style, ad copy and banners, and what they answer.
//!
//! Words, layouts and templates of worlds for training and for evaluation share nothing, so an
//! encoder trained on the former meets the latter for the first time.

mod banner;
mod words;

use crate::World;
use crate::keyed::{Draw, Stream};
use words::{Words, words};

/// A brand's look.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Background, second background, accent, text: RGB.
    pub colours: [[u8; 3]; 4],
    /// Which layout its banners use.
    pub layout: usize,
    pub evaluation: bool,
}

/// Layouts per purpose; evaluation uses the ones after.
const LAYOUTS: usize = 4;

impl Style {
    pub fn new(draw: &mut Draw, evaluation: bool) -> Self {
        let mut colour = |low: f64, high: f64| -> [u8; 3] {
            std::array::from_fn(|_| draw.between(low, high) as u8)
        };
        let colours =
            [colour(10.0, 140.0), colour(90.0, 200.0), colour(140.0, 255.0), colour(225.0, 255.0)];
        let layout = draw.below(LAYOUTS) + if evaluation { LAYOUTS } else { 0 };
        Style { colours, layout, evaluation }
    }
}

/// A brand's name, unlike any other's in the world.
pub(crate) fn brand_name(draw: &mut Draw, evaluation: bool, b: usize) -> String {
    let of: &Words = words(evaluation);
    let (first, second) =
        (of.first[b % of.first.len()], of.second[b / of.first.len() % of.second.len()]);
    let n = b / (of.first.len() * of.second.len());
    let last = of.last[draw.below(of.last.len())];
    if n == 0 { format!("{first}{second} {last}") } else { format!("{first}{second} {last} {n}") }
}

/// One version of an ad's creative.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub id: String,
    pub ad: usize,
    /// The brand whose picture it is; another's if the wrong one was swapped in.
    pub brand: usize,
    pub headline: String,
    pub body: String,
    pub call: &'static str,
    pub product: &'static str,
    /// Hour from which it runs.
    pub from: i64,
}

/// Why a creative changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new picture and new words of the same brand.
    Refresh,
    /// Another brand's creative.
    Wrong,
    /// Words that promise what the brand never sells.
    Promise,
}

impl World {
    /// The creative of ad `k`; `serial` 0 is its first, others come with a change.
    pub(crate) fn creative(&self, k: usize, serial: usize, change: Change, from: i64) -> Version {
        let own = self.entities.campaigns[self.entities.ads[k].campaign].brand;
        let mut draw = Draw::new(self.settings.seed, Stream::Creative, k as u64, serial as i64);
        let other = (own + 1 + draw.below(self.entities.brands.len().max(2) - 1))
            % self.entities.brands.len();
        let brand = if change == Change::Wrong { other } else { own };
        let shown = &self.entities.brands[brand];
        let of = words(shown.style.evaluation);
        // A brand sells three products, so its copy and pictures are alike.
        let products: [&'static str; 3] =
            std::array::from_fn(|i| of.products[(brand * 3 + i) % of.products.len()]);
        let product = *draw.pick(&products);
        let headline = draw.pick(of.headlines).replace("{b}", &shown.name).replace("{p}", product);
        let body = match change {
            Change::Promise => draw.pick(of.promises).to_string(),
            _ => draw.pick(of.bodies).replace("{b}", &shown.name).replace("{p}", product),
        };
        let headline = match change {
            Change::Promise => body.split('.').next().unwrap_or_default().to_string(),
            _ => headline,
        };
        let id = format!("cr-{}-{serial}", self.entities.ads[k].id);
        Version {
            id,
            ad: k,
            brand,
            headline,
            body,
            call: of.calls[draw.below(of.calls.len())],
            product,
            from,
        }
    }

    /// The banner of a creative as a PNG file.
    pub(crate) fn banner(&self, version: &Version) -> Vec<u8> {
        let brand = &self.entities.brands[version.brand];
        let mut key =
            Draw::new(self.settings.seed, Stream::Creative, version.ad as u64, -1 - version.from);
        banner::png(&brand.style, &brand.name, version.product, key.below(1000))
    }
}

/// A comment.
pub(crate) fn comment(
    draw: &mut Draw,
    sentiment: &str,
    spam: bool,
    bot: bool,
    brand: &str,
) -> String {
    let of = words(false);
    if bot {
        // Bots repeat themselves.
        return of.bots[draw.below(of.bots.len())].to_string();
    }
    if spam {
        return format!("{} {}", draw.pick(of.spam), draw.below(900) + 100);
    }
    let (openings, ends) = match sentiment {
        "kind" => (of.kind, of.kind_ends),
        "angry" => (of.angry, of.angry_ends),
        _ => (of.neutral, of.neutral_ends),
    };
    let opening = draw.pick(openings).replace("{b}", brand);
    if draw.chance(0.35) { opening } else { format!("{opening} {}", draw.pick(ends)) }
}
