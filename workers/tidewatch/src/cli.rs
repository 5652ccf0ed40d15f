//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// SQL that stays true over a marketing data lake.
#[derive(Parser)]
#[command(name = "tidewatch", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  tidewatch demo
  tidewatch run dataflows/campaign_features --lake ./lake
  tidewatch sql --lake ./lake 'SELECT * FROM campaign_features LIMIT 10'
  tidewatch verify --lake ./lake

Exit codes: 0 done; 1 failed; 2 bad arguments or SQL; 3 verify found differences; 4 somebody else
writes this lake; 75 a passing outage, try again.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Settings file (TOML). Unknown keys are refused.
    #[arg(long, global = true, env = "TIDEWATCH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more: -v what is done, -vv how.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress bars.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Command {
    /// Make a small lake, maintain features over it while a week of restatements arrives, verify.
    Demo(Demo),
    /// Keep views true over a lake until interrupted (or once).
    Run(Run),
    /// One process of a cluster that `run --processes` starts.
    #[command(hide = true)]
    Follow(Follow),
    /// Query the views of a lake, all at one time.
    Sql(Sql),
    /// Show the plan that maintains each view.
    Explain(Explain),
    /// Recompute every view from the lake by batch SQL and compare.
    Verify(Verify),
    /// Make a lake, or keep it small.
    #[command(subcommand)]
    Lake(Lake),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which lake.
#[derive(Args, Clone)]
pub struct LakeArgs {
    /// Folder or s3:// URL of the lake. Relative source locations start here.
    #[arg(long, env = "TIDEWATCH_LAKE", value_name = "URL")]
    pub lake: String,
}

/// `tidewatch demo`
#[derive(Args)]
#[command(after_help = "Example:
  tidewatch demo --dir /tmp/tide --campaigns 20 --days 60")]
pub struct Demo {
    /// Where to make the lake (must be empty or absent); a temporary folder otherwise.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Campaigns in the lake.
    #[arg(long, default_value_t = 12)]
    pub campaigns: u32,
    /// Days of history, the last seven of which arrive commit by commit.
    #[arg(long, default_value_t = 42)]
    pub days: u32,
    /// Seed of the world.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Verify every view after every commit, not only at the end.
    #[arg(long)]
    pub verify_each: bool,
}

/// `tidewatch run`
#[derive(Args)]
#[command(after_help = "Examples:
  tidewatch run dataflows/campaign_features schemas --lake ./lake        follow the lake
  tidewatch run features.sql --lake ./lake --once                        catch up and stop
  tidewatch run --lake s3://bucket/lake --workers 2                      SQL from the lake's own log
  tidewatch run features.sql --lake ./lake --processes 2                 two processes on this machine")]
pub struct Run {
    /// SQL files, or folders of them. Without any: the statements the lake already has.
    #[arg(value_name = "SQL")]
    pub sql: Vec<PathBuf>,
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Process what is there, commit it, and stop.
    #[arg(long)]
    pub once: bool,
    /// Worker threads per process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Start this many processes on this machine.
    #[arg(long, conflicts_with_all = ["process", "hosts"], value_parser = clap::value_parser!(u16).range(1..=64))]
    pub processes: Option<u16>,
    /// Which process of the cluster this is, from 0; process 0 leads.
    #[arg(long, requires = "hosts")]
    pub process: Option<usize>,
    /// File with one host:port per process, in order.
    #[arg(long, requires = "process", value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Let processes talk in plain text beyond this machine (a private network you trust).
    #[arg(long)]
    pub plaintext: bool,
    /// Lead even though the log says that somebody else still does.
    #[arg(long)]
    pub take_over: bool,
}

/// `tidewatch follow`
#[derive(Args)]
pub struct Follow {
    /// Which process.
    #[arg(long)]
    pub process: usize,
    /// File with one host:port per process.
    #[arg(long)]
    pub hosts: PathBuf,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    pub workers: u16,
}

/// `tidewatch sql`
#[derive(Args)]
#[command(after_help = "Examples:
  tidewatch sql --lake ./lake 'SHOW TABLES'
  tidewatch sql --lake ./lake --format csv 'SELECT campaign_id, roas_7d FROM campaign_features'
  tidewatch sql --lake ./lake \"SELECT local_day(metric_hour, 'Asia/Kolkata') AS day, count(*)
    FROM campaign_features GROUP BY 1\"                      functions of our own: see README.md
  echo 'SELECT * FROM faults' | tidewatch sql --lake ./lake -")]
pub struct Sql {
    /// The query; `-` reads it from standard input.
    pub query: String,
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// How to print rows.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `tidewatch explain`
#[derive(Args)]
#[command(after_help = "Example:
  tidewatch explain schemas dataflows/campaign_features")]
pub struct Explain {
    /// SQL files, or folders of them.
    #[arg(value_name = "SQL", required_unless_present = "lake")]
    pub sql: Vec<PathBuf>,
    /// Explain what this lake runs.
    #[arg(long, env = "TIDEWATCH_LAKE", value_name = "URL")]
    pub lake: Option<String>,
    /// `table` prints text.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `tidewatch verify`
#[derive(Args)]
#[command(after_help = "Example:
  tidewatch verify --lake ./lake campaign_features")]
pub struct Verify {
    /// Views to verify; all of them otherwise.
    pub views: Vec<String>,
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Differing rows to print per view.
    #[arg(long, default_value_t = 5)]
    pub show: usize,
    /// `json` prints one object per view.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `tidewatch lake …`
#[derive(Subcommand)]
pub enum Lake {
    /// Write a deterministic marketing world as a lake.
    Generate(Generate),
    /// Delete what no reader can reach any more. `run` does so by itself as it goes.
    Vacuum(Vacuum),
}

/// `tidewatch lake vacuum`
#[derive(Args)]
#[command(after_help = "Example:
  tidewatch lake vacuum --lake ./lake --keep-minutes 0")]
pub struct Vacuum {
    /// The lake. Nobody else may be writing it.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Minutes for which old versions stay for programs that read the Delta tables directly;
    /// otherwise what the settings say.
    #[arg(long)]
    pub keep_minutes: Option<u64>,
}

/// `tidewatch lake generate`
#[derive(Args)]
#[command(after_help = "Examples:
  tidewatch lake generate ./lake --campaigns 100 --days 90 --seed 7
  tidewatch lake generate ./lake --size small --json                     JSON lines, as delivered
  tidewatch lake generate ./lake --size 20m                              20 million fact rows
  tidewatch lake generate ./judge --purpose evaluation --noise middle --campaigns 60 --days 90 \\
    --live-days 45 --deliveries-per-day 8                                to judge alerts as of their time
  tidewatch lake generate ./null --null --days 120 --live-days 60        nothing is wrong in it

What is wrong in a world is under truth/, which no dataflow reads. The same arguments give the same
bytes. workers/world/README.md describes every incident, every benign twin and every prior.")]
pub struct Generate {
    /// Folder to write.
    pub dir: PathBuf,
    /// Campaigns, days and live days at once; single ones still win.
    #[arg(long, value_enum)]
    pub size: Option<Size>,
    /// Campaigns [default: 20].
    #[arg(long)]
    pub campaigns: Option<u32>,
    /// Days of history, the live ones included [default: 60].
    #[arg(long)]
    pub days: Option<u32>,
    /// Seed: the same seed gives the same bytes.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How much everything drifts and scatters.
    #[arg(long, value_enum, default_value_t = Noise::Middle)]
    pub noise: Noise,
    /// Nothing breaks: only benign twins.
    #[arg(long)]
    pub null: bool,
    /// Brands, words and layouts for training encoders, or others for judging them.
    #[arg(long, value_enum, default_value_t = Purpose::Training)]
    pub purpose: Purpose,
    /// Days at the end that arrive delivery by delivery [default: 7].
    #[arg(long)]
    pub live_days: Option<u32>,
    /// Deliveries on each live day.
    #[arg(long, default_value_t = 1, value_parser = divisor_of_24)]
    pub deliveries_per_day: u32,
    /// Weeks after 2026-01-05 at which the world begins.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=520))]
    pub begin_week: u32,
    /// Write only the first N deliveries (history first, then the live ones).
    #[arg(long)]
    pub deliveries: Option<u32>,
    /// Write JSON lines, as the platforms deliver them.
    #[arg(long)]
    pub json: bool,
    /// Do not render banners.
    #[arg(long)]
    pub no_banners: bool,
    /// Threads that write.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
}

fn divisor_of_24(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if n > 0 && 24 % n == 0 => Ok(n),
        _ => Err("use 1, 2, 3, 4, 6, 8, 12 or 24".to_string()),
    }
}

/// Sizes of worlds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// 12 campaigns, 42 days.
    Demo,
    /// 200 campaigns, 60 days.
    Small,
    /// About 2 million fact rows.
    #[value(name = "2m")]
    M2,
    /// About 20 million fact rows.
    #[value(name = "20m")]
    M20,
    /// About 100 million fact rows.
    #[value(name = "100m")]
    M100,
}

/// How much a world drifts and scatters.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Noise {
    /// Half.
    Low,
    /// As the priors say.
    Middle,
    /// Five thirds.
    High,
}

/// What a world is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// To train encoders and tune detectors.
    Training,
    /// To judge them.
    Evaluation,
}

/// How rows are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for a person.
    Table,
    /// One JSON object per line.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}
