//! Facts joined with the names of their keys: a million loaded, some of them replaced.
//!
//!     cargo bench --workspace --bench join [-- --quick]
//!
//! The baseline is differential's own, over rows, in the same process and in turns.

use tidewatch_benchmarks::state::{Kept, compare};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    compare(Kept::Joined);
}
