//! Orders, leads and comments.

use super::{Columns, File, FileError};
use crate::people::{Comment, Lead, Order};
use crate::{HOUR_US, World};

/// An hour and its fraction, microseconds since 1970 UTC.
fn moment(world: &World, at: f64) -> i64 {
    world.at_us(0) + (at * HOUR_US as f64) as i64
}

impl World {
    /// Files of people; empty ones only if they are the `first`, so that their folders exist.
    pub(super) fn people_files(
        &self,
        name: &str,
        (orders, leads, comments): &(Vec<Order>, Vec<Lead>, Vec<Comment>),
        seen: i64,
        first: bool,
    ) -> Result<Vec<File>, FileError> {
        let mut files = vec![];
        if first || !orders.is_empty() {
            files.push(self.orders(orders, seen)?.file(&format!("orders/{name}"), self.json)?);
        }
        if first || !leads.is_empty() {
            files.push(self.leads(leads, seen)?.file(&format!("leads/{name}"), self.json)?);
        }
        if first || !comments.is_empty() {
            let columns = self.comment_columns(comments, seen);
            files.push(columns.file(&format!("comments/{name}"), self.json)?);
            let columns = Columns::default()
                .text("comment_id", comments.iter().map(|c| &c.id))
                .text("sentiment", comments.iter().map(|c| c.sentiment))
                .flag("spam", comments.iter().map(|c| c.spam))
                .flag("bot", comments.iter().map(|c| c.bot));
            files.push(columns.file(&format!("truth/comments/{name}"), false)?);
        }
        Ok(files)
    }

    fn orders(&self, rows: &[Order], seen: i64) -> Result<Columns, FileError> {
        let campaign = |o: &Order| &self.entities.campaigns[o.campaign];
        let account = |o: &Order| &self.entities.accounts[campaign(o).account];
        Ok(Columns::default()
            .text("order_id", rows.iter().map(|o| format!("o{}", o.id)))
            .text("customer_id", rows.iter().map(|o| format!("k{}-{:04}", o.brand, o.customer)))
            .text("campaign_id", rows.iter().map(|o| &campaign(o).id))
            .time("ordered_at", rows.iter().map(|o| moment(self, o.at)))
            .whole("value_micros", rows.iter().map(|o| o.value_micros))
            .text("currency", rows.iter().map(|o| account(o).currency))
            .text("status", rows.iter().map(|o| o.status))
            .time("as_of", rows.iter().map(|_| self.at_us(seen))))
    }

    fn leads(&self, rows: &[Lead], seen: i64) -> Result<Columns, FileError> {
        let campaign = |l: &Lead| &self.entities.campaigns[l.campaign];
        let account = |l: &Lead| &self.entities.accounts[campaign(l).account];
        Ok(Columns::default()
            .text("lead_id", rows.iter().map(|l| format!("l{}", l.id)))
            .text("brand", rows.iter().map(|l| &self.entities.brands[l.brand].name))
            .text("campaign_id", rows.iter().map(|l| &campaign(l).id))
            .time("created_at", rows.iter().map(|l| moment(self, l.at)))
            .text("qualification", rows.iter().map(|l| l.qualification))
            .whole("value_micros", rows.iter().map(|l| l.value_micros))
            .text("currency", rows.iter().map(|l| account(l).currency))
            .time("as_of", rows.iter().map(|_| self.at_us(seen))))
    }

    fn comment_columns(&self, rows: &[Comment], seen: i64) -> Columns {
        let at = |c: &Comment| self.at_us(c.hour) + c.minute * HOUR_US / 60;
        Columns::default()
            .text("comment_id", rows.iter().map(|c| &c.id))
            .text("ad_id", rows.iter().map(|c| &self.entities.ads[c.ad].id))
            .text("author_id", rows.iter().map(|c| &c.author))
            .time("written_at", rows.iter().map(at))
            .text("text", rows.iter().map(|c| &c.text))
            .time("as_of", rows.iter().map(|_| self.at_us(seen)))
    }
}
