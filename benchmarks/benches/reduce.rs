//! The greatest value of each key, which has to look at all of them: loaded, some rows replaced.
//!
//!     cargo bench --workspace --bench reduce [-- --quick]
//!
//! The baseline is differential's own, over rows, in the same process and in turns.

use tidewatch_benchmarks::state::{Kept, compare};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    compare(Kept::Greatest);
}
