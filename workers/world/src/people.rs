//! People: customers, their orders, leads with what became of them, and comments.

use crate::World;
use crate::conversions::Conversion;
use crate::creative;
use crate::keyed::{Draw, Stream};
use crate::rates::Rate;
use crate::report::Report;

/// Hours until sales has looked at a lead.
const QUALIFIED_AFTER_HOURS: f64 = 72.0;
/// Customers a brand knows when a world begins.
pub(crate) const CUSTOMERS_PER_BRAND: usize = 200;

/// An order as the shop knows it at the time of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub id: String,
    pub customer: usize,
    pub brand: usize,
    pub campaign: usize,
    /// Hours since the world began.
    pub at: f64,
    pub value_micros: i64,
    /// `paid` or `refunded`.
    pub status: &'static str,
}

/// A lead as sales knows it at the time of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub id: String,
    pub brand: usize,
    pub campaign: usize,
    pub at: f64,
    /// `new`, `qualified`, `disqualified`, `won`.
    pub qualification: &'static str,
    /// 10^-6 of the currency, expected.
    pub value_micros: i64,
}

/// A comment under an ad, with what is true of it.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub id: String,
    pub ad: usize,
    pub author: String,
    pub hour: i64,
    pub minute: i64,
    pub text: String,
    /// `kind`, `neutral`, `angry`.
    pub sentiment: &'static str,
    pub spam: bool,
    pub bot: bool,
}

fn order_status(c: &Conversion, seen: f64) -> Option<&'static str> {
    let status = if c.back <= seen { "refunded" } else { "paid" };
    (c.at <= seen).then_some(status)
}

fn lead_status(c: &Conversion, fate: u64, seen: f64) -> Option<&'static str> {
    if c.at > seen {
        None
    } else if c.back <= seen {
        Some("disqualified")
    } else if c.at + QUALIFIED_AFTER_HOURS > seen {
        Some("new")
    } else {
        Some(["disqualified", "qualified", "qualified", "won"][(fate % 4) as usize])
    }
}

impl World {
    /// The orders and leads behind an ad's conversions, where they changed since `before`.
    pub(crate) fn people(
        &self,
        k: usize,
        hour: i64,
        conversions: &[Conversion],
        (seen, before): (i64, Option<i64>),
        report: &mut Report,
    ) {
        let campaign = self.entities.ads[k].campaign;
        let (brand, actions) =
            (self.entities.campaigns[campaign].brand, &self.entities.campaigns[campaign].actions);
        for (n, c) in conversions.iter().enumerate() {
            let mut draw =
                Draw::new(self.settings.seed, Stream::Customer, k as u64, hour * 1000 + n as i64);
            let (who, fate) = (draw.below(CUSTOMERS_PER_BRAND), draw.bits());
            let id = || format!("{k:x}-{hour:x}-{n:x}");
            match actions[c.action].kind {
                "purchase" => {
                    let status = order_status(c, seen as f64);
                    if let Some(status) =
                        status.filter(|_| status != before.and_then(|t| order_status(c, t as f64)))
                    {
                        report.orders.push(Order {
                            id: id(),
                            customer: who,
                            brand,
                            campaign,
                            at: c.at,
                            value_micros: c.value_micros * 1_000_000 / c.credit_micros,
                            status,
                        });
                    }
                }
                "lead" | "signup" => {
                    let status = lead_status(c, fate, seen as f64);
                    let past = before.and_then(|t| lead_status(c, fate, t as f64));
                    if let Some(qualification) = status.filter(|_| status != past) {
                        let value_micros = c.value_micros;
                        report.leads.push(Lead {
                            id: id(),
                            brand,
                            campaign,
                            at: c.at,
                            qualification,
                            value_micros,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// The comments that an ad got in an hour. Search ads get none.
    pub(crate) fn comments(
        &self,
        k: usize,
        hour: i64,
        impressions: i64,
        rate: &Rate,
        into: &mut Vec<Comment>,
    ) {
        let campaign = &self.entities.campaigns[self.entities.ads[k].campaign];
        if campaign.platform == 0 {
            return;
        }
        let brand = &self.entities.brands[campaign.brand];
        let mut draw = Draw::new(self.settings.seed, Stream::Comment, k as u64, hour);
        let own = impressions as f64 * brand.comments;
        for n in 0..draw.poisson(own * rate.comments.max(1.0)) {
            // What is beyond the usual rate comes from bots.
            let bot = draw.chance(1.0 - 1.0 / rate.comments.max(1.0)) || draw.chance(0.01);
            let spam = bot || draw.chance(0.04);
            let sentiment = match draw.unit() {
                u if u < brand.goodwill => "kind",
                u if u < brand.goodwill + 0.6 * (1.0 - brand.goodwill) => "neutral",
                _ => "angry",
            };
            let text = creative::comment(&mut draw, sentiment, spam, bot, &brand.name);
            let author = match bot {
                true => format!("user{:08}", draw.below(40)),
                false => format!("u{:07}", draw.below(2_000_000)),
            };
            let id = format!("m{k:x}-{hour:x}-{n:x}");
            let minute = draw.below(60) as i64;
            into.push(Comment { id, ad: k, author, hour, minute, text, sentiment, spam, bot });
        }
    }
}
