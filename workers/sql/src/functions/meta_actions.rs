//! What Meta's `action_type`s count: one purchase comes under up to eight names.
//!
//! An action type is a prefix and an event (`omni_` + `purchase`). Types of one event form a
//! *family*; prefixes have a *level*, and the lowest level that is present says it all:
//!
//! | level | prefix | what it counts |
//! |---|---|---|
//! | 1 | `omni_` | the event wherever it happened, each once |
//! | 2 | none; `…_total` | website and app, as Ads Manager shows them |
//! | 3 | `web_app_in_store_` | the same again, under the names of checkout destinations |
//! | 4 | `onsite_web_app_` | 〃 |
//! | 5 | `web_in_store_` | 〃 |
//! | 6 | `onsite_web_`, `onsite_app_` | 〃 |
//! | 7 | `offsite_…_add_20_s_calls`, `offsite_…_add_meta_leads` | an event together with calls or leads |
//! | 8 | `offsite_conversion.fb_pixel_`, `app_custom_event.fb_mobile_`, `onsite_conversion.`, `offline_conversion.`; `…_website`, `…_mobile_app`, `…_offline`, `…_on_facebook` | one channel |
//!
//! Types of levels 1 to 5 and 7 are copies of each other. Those of level 8 are *parts*: what a website's
//! pixel saw and what an app reported are different people's purchases, so they are added up (as
//! are those of level 6). Types that are not listed, such as `offsite_conversion.custom.…` and
//! `link_click`, are families of their own.

/// The platform's name in the lake.
pub(super) const META: &str = "meta";
/// Level of a type that stands alone.
pub(super) const ALONE: i64 = 1;
/// Level of a single channel.
const CHANNEL: i64 = 8;

/// Families, and how prefixes spell them.
const EVENTS: [(&str, &[&str]); 16] = [
    ("purchase", &["purchase"]),
    ("add_to_cart", &["add_to_cart"]),
    ("lead", &["lead", "lead_grouped"]),
    ("complete_registration", &["complete_registration"]),
    ("view_content", &["view_content", "content_view"]),
    ("initiate_checkout", &["initiate_checkout", "initiated_checkout"]),
    ("search", &["search"]),
    ("add_payment_info", &["add_payment_info"]),
    ("add_to_wishlist", &["add_to_wishlist"]),
    ("landing_page_view", &["landing_page_view"]),
    ("app_install", &["app_install"]),
    ("activate_app", &["activate_app"]),
    ("achievement_unlocked", &["achievement_unlocked"]),
    ("level_achieved", &["level_achieved"]),
    ("tutorial_completion", &["tutorial_completion"]),
    ("spend_credits", &["spend_credits", "spent_credits"]),
];

/// Families whose types are told apart by what comes after the event.
const TOTALLED: [&str; 10] = [
    "contact",
    "customize_product",
    "donate",
    "find_location",
    "schedule",
    "start_trial",
    "submit_application",
    "subscribe",
    "recurring_subscription_payment",
    "cancel_subscription",
];

/// Longer prefixes before those that they contain.
const PREFIXES: [(&str, i64); 10] = [
    ("omni_", 1),
    ("web_app_in_store_", 3),
    ("onsite_web_app_", 4),
    ("web_in_store_", 5),
    ("onsite_web_", 6),
    ("onsite_app_", 6),
    ("offsite_conversion.fb_pixel_", CHANNEL),
    ("app_custom_event.fb_mobile_", CHANNEL),
    ("onsite_conversion.", CHANNEL),
    ("offline_conversion.", CHANNEL),
];

const ENDINGS: [(&str, i64); 5] = [
    ("_total", 2),
    ("_website", CHANNEL),
    ("_mobile_app", CHANNEL),
    ("_offline", CHANNEL),
    ("_on_facebook", CHANNEL),
];

/// The family and level of one of Meta's action types; `None` for one that stands alone.
pub(super) fn meta(action_type: &str) -> Option<(&'static str, i64)> {
    if action_type == "mobile_app_install" {
        return Some(("app_install", CHANNEL));
    }
    for (prefix, level) in PREFIXES {
        if let Some(family) = action_type.strip_prefix(prefix).and_then(event) {
            return Some((family, level));
        }
    }
    if let Some(family) = event(action_type) {
        return Some((family, 2));
    }
    if let Some(family) = action_type.strip_prefix("offsite_").and_then(with_more) {
        return Some((family, 7));
    }
    let ended = |(ending, level): &(&str, i64)| {
        let event = action_type.strip_suffix(ending)?;
        Some((*TOTALLED.iter().find(|e| **e == event)?, *level))
    };
    ENDINGS.iter().find_map(ended)
}

fn event(spelled: &str) -> Option<&'static str> {
    EVENTS.iter().find(|(_, spellings)| spellings.contains(&spelled)).map(|(family, _)| *family)
}

/// `purchase_add_20_s_calls`
fn with_more(spelled: &str) -> Option<&'static str> {
    let more =
        |family: &&str| spelled.strip_prefix(*family).is_some_and(|rest| rest.starts_with("_add_"));
    EVENTS.iter().map(|(family, _)| *family).find(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_one_purchase_are_one_family_in_order() {
        let names = [
            ("omni_purchase", 1),
            ("purchase", 2),
            ("web_app_in_store_purchase", 3),
            ("onsite_web_app_purchase", 4),
            ("web_in_store_purchase", 5),
            ("onsite_web_purchase", 6),
            ("onsite_app_purchase", 6),
            ("offsite_purchase_add_20_s_calls", 7),
            ("offsite_conversion.fb_pixel_purchase", 8),
            ("app_custom_event.fb_mobile_purchase", 8),
            ("onsite_conversion.purchase", 8),
            ("offline_conversion.purchase", 8),
        ];
        for (name, level) in names {
            assert_eq!(meta(name), Some(("purchase", level)), "{name}");
        }
    }

    #[test]
    fn spellings_of_one_event_meet() {
        for (name, want) in [
            ("omni_initiated_checkout", ("initiate_checkout", 1)),
            ("initiate_checkout", ("initiate_checkout", 2)),
            ("app_custom_event.fb_mobile_initiated_checkout", ("initiate_checkout", 8)),
            ("offsite_conversion.fb_pixel_initiate_checkout", ("initiate_checkout", 8)),
            ("omni_view_content", ("view_content", 1)),
            ("app_custom_event.fb_mobile_content_view", ("view_content", 8)),
            ("onsite_conversion.lead_grouped", ("lead", 8)),
            ("offsite_conversion.fb_pixel_lead", ("lead", 8)),
            ("lead", ("lead", 2)),
            ("offsite_complete_registration_add_meta_leads", ("complete_registration", 7)),
            ("omni_app_install", ("app_install", 1)),
            ("mobile_app_install", ("app_install", 8)),
            ("contact_total", ("contact", 2)),
            ("contact_website", ("contact", 8)),
            ("donate_on_facebook", ("donate", 8)),
        ] {
            assert_eq!(meta(name), Some(want), "{name}");
        }
    }

    #[test]
    fn what_is_not_listed_stands_alone() {
        for name in [
            "link_click",
            "omni_custom",
            "offsite_conversion.custom.123",
            "offsite_conversion.fb_pixel_custom.server_purchase",
            "video_view",
            "purchase_total",
            "",
        ] {
            assert_eq!(meta(name), None, "{name}");
        }
    }
}
