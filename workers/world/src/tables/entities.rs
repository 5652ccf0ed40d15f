//! Accounts, campaigns, ad sets, ads, creatives and their banners, customers.

use super::{Columns, File, FileError};
use crate::creative::{Change, Version};
use crate::people::CUSTOMERS_PER_BRAND;
use crate::places::PLACES;
use crate::truth::Scope;
use crate::{PLATFORMS, World};

impl World {
    /// What is set up, and what of it changed since the delivery before.
    pub(super) fn entity_files(&self, n: u32) -> Result<Vec<File>, FileError> {
        let at = self.delivered_hour(n);
        let mut files = vec![];
        let all = 0..self.entities.campaigns.len();
        let budgets = self
            .edits
            .iter()
            .filter(|e| e.field == "daily_budget_micros" && self.since(n).contains(&e.hour));
        let of = |scope| if let Scope::Campaign(c) = scope { Some(c) } else { None };
        let mut changed: Vec<usize> = budgets.filter_map(|e| of(e.scope)).collect();
        changed.sort_unstable();
        changed.dedup();
        let campaigns = if n == 0 { all.collect() } else { changed };
        let name = format!("{at:06}");
        if !campaigns.is_empty() {
            files.push(
                self.campaign_columns(&campaigns, at).file(&format!("campaigns/{name}"), false)?,
            );
        }
        let fresh: Vec<Version> = self.fresh_versions(n);
        if !fresh.is_empty() {
            files
                .push(self.creative_columns(&fresh, at).file(&format!("creatives/{name}"), false)?);
            files.push(self.ad_columns(&fresh, at).file(&format!("ads/{name}"), false)?);
        }
        if self.settings.banners {
            let extra = fresh.iter().filter(|v| !v.id.ends_with("-0"));
            files.extend(extra.map(|v| (image(v), self.banner(v))));
        }
        if n == 0 {
            files.push(self.accounts(at).file("accounts/accounts", false)?);
            files.push(self.ad_sets(at).file("ad_sets/ad_sets", false)?);
            files.push(self.customers(at).file("customers/customers", false)?);
        }
        Ok(files)
    }

    /// The banners of `many` ads from ad `from`.
    pub(super) fn banners(&self, from: usize, many: usize) -> Vec<File> {
        let ads = from..(from + many).min(self.entities.ads.len());
        let first = |k| self.creative(k, 0, Change::Refresh, self.entities.ads[k].launch_hour);
        ads.map(first).map(|v| (image(&v), self.banner(&v))).collect()
    }

    /// Creatives that started since the delivery before, those of new ads included.
    fn fresh_versions(&self, n: u32) -> Vec<Version> {
        let since = self.since(n);
        let first = |k: usize| {
            let from = self.entities.ads[k].launch_hour;
            // All ads are set up when the world is first delivered.
            (n == 0).then(|| self.creative(k, 0, Change::Refresh, from))
        };
        let mut fresh: Vec<Version> = (0..self.entities.ads.len()).filter_map(first).collect();
        let mut later: Vec<&Version> =
            self.versions.iter().filter(|v| since.contains(&v.from)).collect();
        later.sort_by_key(|v| (v.from, v.ad));
        fresh.extend(later.into_iter().cloned());
        fresh
    }

    fn accounts(&self, at: i64) -> Columns {
        let rows = &self.entities.accounts;
        let brand = |b: usize| &self.entities.brands[b];
        Columns::default()
            .text("account_id", rows.iter().map(|a| &a.id))
            .text("platform", rows.iter().map(|a| PLATFORMS[a.platform]))
            .text("brand", rows.iter().map(|a| &brand(a.brand).name))
            .text("country", rows.iter().map(|a| PLACES[brand(a.brand).place].country))
            .text("currency", rows.iter().map(|a| a.currency))
            .text("tz", rows.iter().map(|a| a.tz))
            .text("pixel_id", rows.iter().map(|a| &a.pixel))
            .time("as_of", rows.iter().map(|_| self.at_us(at)))
    }

    /// A campaign's daily budget as set at `at`, 10^-6 of its currency.
    fn budget_micros(&self, c: usize, at: i64) -> i64 {
        let set = self.edits.iter().rev().find(|e| {
            e.scope == Scope::Campaign(c) && e.field == "daily_budget_micros" && e.hour <= at
        });
        let first = (self.entities.campaigns[c].budget * 1e6).round() as i64;
        set.and_then(|e| e.new.parse().ok()).unwrap_or(first)
    }

    fn campaign_columns(&self, rows: &[usize], at: i64) -> Columns {
        let of = |c: &usize| &self.entities.campaigns[*c];
        let account = |c: &usize| &self.entities.accounts[of(c).account];
        Columns::default()
            .text("campaign_id", rows.iter().map(|c| &of(c).id))
            .text("platform", rows.iter().map(|c| PLATFORMS[of(c).platform]))
            .text("account_id", rows.iter().map(|c| &account(c).id))
            .text("name", rows.iter().map(|c| &of(c).name))
            .text("objective", rows.iter().map(|c| of(c).objective))
            .text("currency", rows.iter().map(|c| account(c).currency))
            .whole("daily_budget_micros", rows.iter().map(|c| self.budget_micros(*c, at)))
            .time("launch_hour", rows.iter().map(|c| self.at_us(of(c).launch_hour)))
            .time("as_of", rows.iter().map(|_| self.at_us(at)))
    }

    fn ad_sets(&self, at: i64) -> Columns {
        let rows = &self.entities.ad_sets;
        Columns::default()
            .text("adset_id", rows.iter().map(|s| &s.id))
            .text("campaign_id", rows.iter().map(|s| &self.entities.campaigns[s.campaign].id))
            .text("audience", rows.iter().map(|s| s.audience))
            .whole("audience_size", rows.iter().map(|s| s.audience_size))
            .time("as_of", rows.iter().map(|_| self.at_us(at)))
    }

    /// An ad's row each time its creative changes; the last of a delivery stays.
    fn ad_columns(&self, rows: &[Version], at: i64) -> Columns {
        let mut last: Vec<&Version> = vec![];
        for v in rows {
            last.retain(|x| x.ad != v.ad);
            last.push(v);
        }
        let ad = |v: &Version| &self.entities.ads[v.ad];
        Columns::default()
            .text("ad_id", last.iter().map(|v| &ad(v).id))
            .text("adset_id", last.iter().map(|v| &self.entities.ad_sets[ad(v).ad_set].id))
            .text("campaign_id", last.iter().map(|v| &self.entities.campaigns[ad(v).campaign].id))
            .text("creative_id", last.iter().map(|v| &v.id))
            .time("launch_hour", last.iter().map(|v| self.at_us(ad(v).launch_hour)))
            .time("as_of", last.iter().map(|_| self.at_us(at)))
    }

    fn creative_columns(&self, rows: &[Version], at: i64) -> Columns {
        let ad = |v: &Version| &self.entities.ads[v.ad];
        Columns::default()
            .text("creative_id", rows.iter().map(|v| &v.id))
            .text("campaign_id", rows.iter().map(|v| &self.entities.campaigns[ad(v).campaign].id))
            .text("ad_id", rows.iter().map(|v| &ad(v).id))
            .text("headline", rows.iter().map(|v| &v.headline))
            .text("body", rows.iter().map(|v| &v.body))
            .text("call_to_action", rows.iter().map(|v| v.call))
            .text("image", rows.iter().map(image))
            .time("as_of", rows.iter().map(|v| self.at_us(v.from.min(at))))
    }

    fn customers(&self, at: i64) -> Columns {
        let brands = self.entities.brands.iter().enumerate();
        let rows: Vec<(usize, usize)> =
            brands.flat_map(|(b, _)| (0..CUSTOMERS_PER_BRAND).map(move |k| (b, k))).collect();
        let place = |b: usize| &PLACES[self.entities.brands[b].place];
        Columns::default()
            .text("customer_id", rows.iter().map(|(b, k)| format!("k{b}-{k:04}")))
            .text("brand", rows.iter().map(|(b, _)| &self.entities.brands[*b].name))
            .text("country", rows.iter().map(|(b, _)| place(*b).country))
            .text("segment", rows.iter().map(|(_, k)| ["new", "returning", "loyal"][k * k % 3]))
            .time("as_of", rows.iter().map(|_| self.at_us(at)))
    }
}

/// Path of a creative's banner in the lake.
fn image(version: &Version) -> String {
    format!("images/{}.png", version.id)
}
