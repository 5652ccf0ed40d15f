//! Floor 3: SQL text to plans, and batch SQL as the oracle.
//!
//! [`parse()`] → [`Catalog::new`] → [`lower()`] is the way of a statement; [`Oracle`] is what a
//! view means: DataFusion over whole tables.

mod catalog;
mod compare;
mod error;
mod functions;
mod lower;
mod oracle;
mod parse;
mod session;
mod statement;

pub use catalog::{Catalog, SourceDef, ViewDef};
pub use compare::{Difference, compare};
pub use error::{Place, SqlError, SqlErrorKind};
pub use lower::{lower, mixed_currencies};
pub use oracle::{Oracle, query};
pub use parse::parse;
pub use session::query_session;
pub use statement::{
    CheckStatement, ColumnStatement, SourceStatement, Statement, StatementKind, ViewStatement,
};
