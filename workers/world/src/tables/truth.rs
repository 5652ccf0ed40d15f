//! The truth, under `truth/`: no dataflow reads it.

use super::events::day_of;
use super::{Columns, File, FileError};
use crate::truth::{Scope, TWINS, Twin};
use crate::{World, truth};

fn level(scope: Scope) -> &'static str {
    match scope {
        Scope::Platform(_) => "platform",
        Scope::Brand(_) => "brand",
        Scope::Account(_) => "account",
        Scope::Campaign(_) => "campaign",
        Scope::AdSet(_) => "ad_set",
        Scope::Ad(_) => "ad",
    }
}

impl World {
    pub(super) fn truth_files(&self) -> Result<Vec<File>, FileError> {
        Ok(vec![
            self.incident_columns().file("truth/incidents/incidents", false)?,
            self.twin_columns().file("truth/twins/twins", false)?,
            self.outcome_columns()?.file("truth/goals/goals", false)?,
        ])
    }

    fn incident_columns(&self) -> Columns {
        let rows = &self.incidents;
        let currency = |scope: Scope| {
            let c = self.campaigns_of(scope)[0];
            self.entities.accounts[self.entities.campaigns[c].account].currency
        };
        Columns::default()
            .text("incident_id", rows.iter().map(|i| format!("i{:04}", i.id)))
            .text("kind", rows.iter().map(|i| i.kind.sort().name))
            .text("level", rows.iter().map(|i| i.kind.sort().level.name()))
            .text("entity_id", rows.iter().map(|i| self.name(i.scope)))
            .time("onset", rows.iter().map(|i| self.at_us(i.onset)))
            .time("ended", rows.iter().map(|i| self.at_us(i.end)))
            .time(
                "deadline",
                rows.iter().map(|i| self.at_us(i.onset + i.kind.sort().deadline_hours)),
            )
            .text("metric", rows.iter().map(|i| i.kind.sort().statistic.name()))
            .text("direction", rows.iter().map(|i| i.kind.sort().direction))
            .real("factor", rows.iter().map(|i| i.factor))
            .whole("money_micros", rows.iter().map(|i| i.money_micros))
            .text("currency", rows.iter().map(|i| currency(i.scope)))
            .real("power", rows.iter().map(|i| i.power))
            .flag("detectable", rows.iter().map(|i| i.detectable))
    }

    fn twin_columns(&self) -> Columns {
        let rows = &self.twins;
        let sort = |t: &Twin| -> &truth::TwinSort {
            TWINS.iter().find(|s| s.name == t.kind).expect("every kind of twin is listed")
        };
        Columns::default()
            .text("kind", rows.iter().map(|t| t.kind))
            .text("level", rows.iter().map(|t| level(t.scope)))
            .text("entity_id", rows.iter().map(|t| self.name(t.scope)))
            .time("began", rows.iter().map(|t| self.at_us(t.from)))
            .time("ended", rows.iter().map(|t| self.at_us(t.until)))
            .text("looks_like", rows.iter().map(|t| sort(t).like))
            .text("told_by", rows.iter().map(|t| sort(t).told_by))
    }

    fn outcome_columns(&self) -> Result<Columns, FileError> {
        let rows = self.goals();
        Ok(Columns::default()
            .text("goal_id", rows.iter().map(|g| format!("g{:05}", g.id)))
            .day("period_end", rows.iter().map(|g| day_of(self, g.end_day * 24)))
            .decimal("outcome", rows.iter().map(|g| (g.outcome * 1e6).round() as i64))?
            .flag("missed", rows.iter().map(|g| g.missed))
            .text("reason", rows.iter().map(|g| g.reason)))
    }
}
