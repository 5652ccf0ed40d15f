//! Floor 1: Arrow-native state for differential dataflow.
//!
//! What flows between operators are [`Updates`]: columns, and per row a time and a diff of one or
//! more columns. [`arrange()`] sorts them into immutable chunks ([`Chunk`]) that differential's
//! batcher and spine maintain; [`reduce()`] and [`join()`] read those chunks many keys at a time,
//! columns in and columns out. No row is ever encoded.
//!
//! * Columns are in normal form (`schemas::normal`): equal values have equal bits.
//! * Times are totally ordered. The tactics and [`Chunk`]'s `advance` rely on it.
//! * A row is gone when its count *and* all its sums are zero.

mod arrange;
mod assemble;
mod budget;
mod chunk;
mod columns;
mod compare;
mod draw;
mod exchange;
mod hash;
mod join;
mod merge;
mod reduce;
mod run;
mod sort;
pub mod spill;
pub mod updates;
mod window;
mod wire;

pub use arrange::{Arranged, Tuning, arrange, arrange_local, arrange_tuned, updates_of};
pub use budget::{Budget, Charge, Page};
pub use chunk::{Batch, CHUNK_ROWS, Chunk, KEPT, SORTING, Spine};
pub use exchange::{exchange, exchange_by, gather};
pub use hash::{hash_columns, hash_seeded};
pub use join::{join, join_tuned};
pub use reduce::{Evaluate, Evaluated, Groups, reduce, reduce_tuned};
pub use run::Run;
pub use updates::{Lane, Updates};
