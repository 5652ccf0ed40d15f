//! Words of brands, copy and comments.

/// Word lists; those of brands and copy differ by purpose.
pub(super) struct Words {
    pub first: &'static [&'static str],
    pub second: &'static [&'static str],
    pub last: &'static [&'static str],
    pub products: &'static [&'static str],
    pub headlines: &'static [&'static str],
    pub bodies: &'static [&'static str],
    pub calls: &'static [&'static str],
    pub promises: &'static [&'static str],
    pub bots: &'static [&'static str],
    pub spam: &'static [&'static str],
    pub kind: &'static [&'static str],
    pub kind_ends: &'static [&'static str],
    pub neutral: &'static [&'static str],
    pub neutral_ends: &'static [&'static str],
    pub angry: &'static [&'static str],
    pub angry_ends: &'static [&'static str],
}

/// The words of worlds for training or for evaluation.
pub(super) fn words(evaluation: bool) -> &'static Words {
    if evaluation { &EVALUATION } else { &TRAINING }
}

const TRAINING: Words = Words {
    first: &["Nor", "Bel", "Kas", "Lum", "Tor", "Mira", "Ost", "Fen", "Quil", "Hal", "Ver", "Juno"],
    second: &["wood", "line", "dal", "ora", "mark", "vik", "field", "mere", "stone", "lea"],
    last: &["Home", "Sport", "Garden", "Kitchen", "Outdoor", "Wear"],
    products: &[
        "oak table",
        "running shoe",
        "rain jacket",
        "garden chair",
        "steel pan",
        "wool blanket",
        "desk lamp",
        "trail pack",
        "tea pot",
        "herb planter",
        "linen shirt",
        "camp stove",
        "yoga mat",
        "wall clock",
        "bread knife",
        "watering can",
        "ski glove",
        "bed frame",
    ],
    headlines: &[
        "The {p} by {b}",
        "Your new {p} is here",
        "{b}: made to last",
        "Meet the {p}",
        "{p}, now in three colours",
        "Why people love {b}",
    ],
    bodies: &[
        "Order the {p} today. Free returns for 30 days.",
        "{b} builds every {p} by hand. See how.",
        "Rated 4.7 of 5 by owners. The {p} ships tomorrow.",
        "A {p} for years, not for a season. Only at {b}.",
    ],
    calls: &["Shop now", "Learn more", "See colours", "Order today"],
    promises: &[
        "Free smartphone with every order. Only this week.",
        "Lose 10 kilos in 7 days. Doctors are amazed.",
        "Guaranteed loan in 5 minutes. No questions asked.",
        "Win a trip to Mars. One click is enough.",
    ],
    bots: BOTS,
    spam: SPAM,
    kind: KIND,
    kind_ends: KIND_ENDS,
    neutral: NEUTRAL,
    neutral_ends: NEUTRAL_ENDS,
    angry: ANGRY,
    angry_ends: ANGRY_ENDS,
};

const EVALUATION: Words = Words {
    first: &[
        "Alta", "Brio", "Cira", "Dove", "Eon", "Gale", "Ibex", "Kite", "Opal", "Pell", "Sava",
        "Zeph",
    ],
    second: &["lab", "nest", "craft", "works", "point", "ridge", "bay", "co", "loom", "via"],
    last: &["Studio", "Market", "Supply", "Goods", "Atelier", "Store"],
    products: &[
        "smart kettle",
        "city bike",
        "noise headphones",
        "coffee grinder",
        "travel pillow",
        "leather wallet",
        "phone stand",
        "cotton duvet",
        "road helmet",
        "glass carafe",
        "silk scarf",
        "pet bed",
        "plant light",
        "card game",
        "hair dryer",
        "tool kit",
        "baby carrier",
        "fish tank",
    ],
    headlines: &[
        "{p}? {b}.",
        "Say hello to a better {p}",
        "{b} made the {p} we wanted",
        "A {p} worth waiting for",
        "Back in stock: {p}",
        "{b}, since 1987",
    ],
    bodies: &[
        "Try the {p} at home for two weeks, then decide.",
        "Thousands switched to {b}. Their {p} speaks for itself.",
        "New from {b}: a {p} that repairs in minutes.",
        "The {p} you will hand on. Delivered by {b} in two days.",
    ],
    calls: &["Discover", "Get yours", "Find a shop", "Try it"],
    promises: &[
        "Double your money by Friday. Nobody has lost yet.",
        "Your hair grows back overnight. Proven in secret.",
        "Free petrol for life. Just answer one question.",
        "A degree without studying. Delivered by post.",
    ],
    bots: BOTS,
    spam: SPAM,
    kind: KIND,
    kind_ends: KIND_ENDS,
    neutral: NEUTRAL,
    neutral_ends: NEUTRAL_ENDS,
    angry: ANGRY,
    angry_ends: ANGRY_ENDS,
};

const BOTS: &[&str] = &[
    "Amazing opportunity!! check my profile now",
    "I earned 4000 in one week, ask me how",
    "DM me for promo, real results",
    "Wow!! follow back follow back follow back",
    "crypto signals free today only",
];
const SPAM: &[&str] = &["visit my page for deals", "cheap followers here", "code HALFPRICE"];
const KIND: &[&str] = &[
    "Love my order from {b}",
    "Best purchase this year",
    "So happy with it",
    "Great quality",
    "Arrived early, thank you {b}",
    "My sister bought one too",
];
const KIND_ENDS: &[&str] = &["and the service is lovely.", "would buy again!", "five stars.", "❤"];
const NEUTRAL: &[&str] = &[
    "Does it ship to Austria?",
    "Is there a larger size",
    "How long is the warranty",
    "Which colour is in the picture?",
    "Seen this at {b} in town",
    "Anyone tried it",
];
const NEUTRAL_ENDS: &[&str] = &["thanks", "?", "asking for a friend.", "please"];
const ANGRY: &[&str] = &[
    "Still waiting for my parcel",
    "Broke after a week",
    "{b} does not answer mails",
    "Not what the picture shows",
    "Too expensive for this",
    "Worst support ever",
];
const ANGRY_ENDS: &[&str] = &["never again.", "I want my money back!", "avoid.", "disappointed."];
