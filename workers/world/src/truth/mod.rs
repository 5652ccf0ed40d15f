//! What is wrong with a world, what only looks wrong, and which goals are missed: the truth, in
//! tables of its own that no dataflow reads.

pub mod goals;
pub mod incidents;
pub mod oracle;
pub mod power;
pub mod twins;

pub use goals::Goal;
pub use incidents::{Incident, KINDS, Kind, Level, Sort};
pub use twins::{TWINS, Twin, TwinSort};

/// The part of a world that an event is about. Indices in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A platform's extract.
    Platform(usize),
    /// A brand.
    Brand(usize),
    /// An account, with its pixel.
    Account(usize),
    /// A campaign.
    Campaign(usize),
    /// An ad set.
    AdSet(usize),
    /// An ad.
    Ad(usize),
}

impl crate::World {
    /// The id of a scope, as the lake's tables write it.
    pub fn name(&self, scope: Scope) -> String {
        let e = &self.entities;
        match scope {
            Scope::Platform(p) => crate::PLATFORMS[p].to_string(),
            Scope::Brand(b) => e.brands[b].name.clone(),
            Scope::Account(a) => e.accounts[a].id.clone(),
            Scope::Campaign(c) => e.campaigns[c].id.clone(),
            Scope::AdSet(s) => e.ad_sets[s].id.clone(),
            Scope::Ad(a) => e.ads[a].id.clone(),
        }
    }

    /// The campaigns that a scope touches.
    pub fn campaigns_of(&self, scope: Scope) -> Vec<usize> {
        let e = &self.entities;
        let of = |test: &dyn Fn(&crate::entities::Campaign) -> bool| {
            (0..e.campaigns.len()).filter(|c| test(&e.campaigns[*c])).collect()
        };
        match scope {
            Scope::Platform(p) => of(&|c| c.platform == p),
            Scope::Brand(b) => of(&|c| c.brand == b),
            Scope::Account(a) => of(&|c| c.account == a),
            Scope::Campaign(c) => vec![c],
            Scope::AdSet(s) => vec![e.ad_sets[s].campaign],
            Scope::Ad(a) => vec![e.ads[a].campaign],
        }
    }

    /// The ads that a scope holds.
    pub fn ads_of(&self, scope: Scope) -> Vec<usize> {
        match scope {
            Scope::Ad(a) => vec![a],
            Scope::AdSet(s) => {
                let ads = self.entities.campaigns[self.entities.ad_sets[s].campaign].ads.clone();
                ads.filter(|a| self.entities.ads[*a].ad_set == s).collect()
            }
            other => {
                let campaigns = self.campaigns_of(other);
                campaigns.into_iter().flat_map(|c| self.entities.campaigns[c].ads.clone()).collect()
            }
        }
    }

    /// Every account, campaign, ad set and ad, and the platform (by index) it is on. Ad sets and
    /// ads that are all of their campaign are left out.
    pub fn scopes(&self) -> Vec<(Scope, usize)> {
        let e = &self.entities;
        let on = |c: usize| e.campaigns[c].platform;
        let mut all: Vec<(Scope, usize)> =
            e.accounts.iter().enumerate().map(|(a, x)| (Scope::Account(a), x.platform)).collect();
        all.extend((0..e.campaigns.len()).map(|c| (Scope::Campaign(c), on(c))));
        all.extend((0..e.ad_sets.len()).map(|s| (Scope::AdSet(s), on(e.ad_sets[s].campaign))));
        all.extend((0..e.ads.len()).map(|k| (Scope::Ad(k), on(e.ads[k].campaign))));
        all.retain(|(scope, _)| match scope {
            Scope::AdSet(s) => e.campaigns[e.ad_sets[*s].campaign].ad_sets.len() > 1,
            Scope::Ad(k) => e.campaigns[e.ads[*k].campaign].ads.len() > 1,
            _ => true,
        });
        all
    }

    /// The campaign of an ad, by index.
    pub fn campaign_of(&self, ad: usize) -> usize {
        self.entities.ads[ad].campaign
    }

    /// How many campaigns there are, and how many ads.
    pub fn sizes(&self) -> (usize, usize) {
        (self.entities.campaigns.len(), self.entities.ads.len())
    }

    /// Do two scopes share an ad? (A platform and a brand are taken to.)
    pub fn meet(&self, a: Scope, b: Scope) -> bool {
        let (a, b) = (self.path(a), self.path(b));
        a.iter().zip(&b).all(|(x, y)| x.is_none() || y.is_none() || x == y)
    }

    /// Platform, brand, account, campaign, ad set and ad, as far as a scope fixes them.
    fn path(&self, scope: Scope) -> [Option<usize>; 6] {
        let e = &self.entities;
        let mut path = [None; 6];
        let ad_set = match scope {
            Scope::AdSet(s) => Some(s),
            Scope::Ad(k) => Some(e.ads[k].ad_set),
            _ => None,
        };
        let campaign = match scope {
            Scope::Campaign(c) => Some(c),
            _ => ad_set.map(|s| e.ad_sets[s].campaign),
        };
        let account = match scope {
            Scope::Account(a) => Some(a),
            _ => campaign.map(|c| e.campaigns[c].account),
        };
        path[0] = account.map(|a| e.accounts[a].platform);
        path[1] = account.map(|a| e.accounts[a].brand);
        (path[2], path[3], path[4]) = (account, campaign, ad_set);
        match scope {
            Scope::Platform(p) => path[0] = Some(p),
            Scope::Brand(b) => path[1] = Some(b),
            Scope::Ad(k) => path[5] = Some(k),
            _ => {}
        }
        path
    }
}
