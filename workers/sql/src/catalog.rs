//! What is known by name: sources and views, in an order in which each comes after what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};
use datafusion::prelude::SessionContext;
use engine::check::Check;
use engine::faults::FAULTS;
use engine::history_schema;
use engine::plan::{Mode, Upsert};
use futures::executor::block_on;
use schemas::normal::{normal_schema, normal_type};

use crate::error::{Place, SqlError, SqlErrorKind};
use crate::lower::{physical, refuse_unstable_expr};
use crate::session::planning_session;
use crate::statement::{CheckStatement, SourceStatement, Statement, StatementKind, ViewStatement};

/// A source, checked.
#[derive(Clone, Debug)]
pub struct SourceDef {
    /// Name.
    pub name: String,
    /// Columns of its files in normal types, nullable as declared (with `_diff`, if any).
    pub file_schema: SchemaRef,
    /// Columns of its rows.
    pub schema: SchemaRef,
    /// Folder or URL; relative to the lake.
    pub location: String,
    /// How its files are written, as the statement says; who reads them knows the names.
    pub format: String,
    /// How files become rows.
    pub mode: Mode,
    /// Columns that files may lack.
    pub optional: Vec<String>,
    /// What has to hold of each row of its files.
    pub checks: Vec<Check>,
    /// Key columns of which only the first row counts; the others are faults.
    pub unique: Option<Vec<usize>>,
    /// Column of the event time.
    pub event_time: Option<usize>,
    /// The statement.
    pub statement: Statement,
}

/// A view, planned.
#[derive(Clone, Debug)]
pub struct ViewDef {
    /// Name.
    pub name: String,
    /// Committed as a table.
    pub materialized: bool,
    /// Columns in normal types.
    pub schema: SchemaRef,
    /// DataFusion's plan, as written.
    pub plan: LogicalPlan,
    /// Column its table is bucketed by.
    pub time_column: Option<usize>,
    /// Sources and views it reads, `<source>_history` included.
    pub reads: Vec<String>,
    /// The statement.
    pub statement: Statement,
    /// The parsed statement.
    pub view: ViewStatement,
}

/// Sources and views.
#[derive(Default)]
pub struct Catalog {
    sources: BTreeMap<String, SourceDef>,
    /// In dependency order.
    views: Vec<ViewDef>,
}

impl Catalog {
    /// Check and plan `statements`, which may come in any order.
    ///
    /// # Errors
    /// The first statement that makes no sense, with its place.
    pub fn new(statements: Vec<Statement>) -> Result<Catalog, SqlError> {
        let context = SessionContext::new_with_state(planning_session());
        let mut catalog = Catalog::default();
        let mut views = vec![];
        for statement in statements {
            let at = |e: SqlError| e.at(&statement.origin, statement.place);
            match statement.kind.clone() {
                StatementKind::Source(source) => {
                    let def = source_def(&context, source, statement.clone()).map_err(at)?;
                    catalog.free(&def.name).map_err(at)?;
                    register(&context, &def.name, &def.schema).map_err(at)?;
                    if matches!(def.mode, Mode::Upsert(_)) {
                        let history = format!("{}_history", def.name);
                        register(&context, &history, &history_schema(&def.schema)).map_err(at)?;
                    }
                    catalog.sources.insert(def.name.clone(), def);
                }
                StatementKind::View(view) => views.push((view, statement)),
                StatementKind::Query => {
                    let error = SqlError::new(SqlErrorKind::Invalid, "a query keeps nothing true")
                        .hint("write CREATE MATERIALIZED VIEW name AS in front of it");
                    return Err(at(error));
                }
            }
        }
        catalog.plan_views(&context, views)?;
        Ok(catalog)
    }

    /// Plan views as soon as what they read is planned.
    fn plan_views(
        &mut self,
        context: &SessionContext,
        mut waiting: Vec<(ViewStatement, Statement)>,
    ) -> Result<(), SqlError> {
        while !waiting.is_empty() {
            let names: Vec<String> = waiting.iter().map(|(v, _)| v.name.clone()).collect();
            let before = waiting.len();
            let mut later = vec![];
            for (view, statement) in waiting {
                let at = |e: SqlError| e.at(&statement.origin, statement.place);
                let reads = reads(&context.state(), &view).map_err(at)?;
                if reads.iter().any(|r| names.contains(r) && self.view(r).is_none()) {
                    later.push((view, statement));
                    continue;
                }
                self.free(&view.name).map_err(at)?;
                let def = view_def(&context.state(), view, reads, statement.clone())?;
                register(context, &def.name, &def.schema).map_err(at)?;
                self.views.push(def);
            }
            if later.len() == before {
                let (view, statement) = &later[0];
                let m = format!("view '{}' reads itself, directly or through another", view.name);
                return Err(
                    SqlError::new(SqlErrorKind::Invalid, m).at(&statement.origin, statement.place)
                );
            }
            waiting = later;
        }
        Ok(())
    }

    /// All sources by name.
    pub fn sources(&self) -> impl Iterator<Item = &SourceDef> {
        self.sources.values()
    }

    /// A source by name.
    pub fn source(&self, name: &str) -> Option<&SourceDef> {
        self.sources.get(name)
    }

    /// All views, each after what it reads.
    pub fn views(&self) -> &[ViewDef] {
        &self.views
    }

    /// A view by name.
    pub fn view(&self, name: &str) -> Option<&ViewDef> {
        self.views.iter().find(|v| v.name == name)
    }

    fn free(&self, name: &str) -> Result<(), SqlError> {
        let history = self.sources.values().any(|s| {
            matches!(s.mode, Mode::Upsert(_)) && name.strip_suffix("_history") == Some(&s.name)
        });
        let taken = self.sources.contains_key(name) || self.view(name).is_some();
        match taken || history || name == FAULTS {
            false => Ok(()),
            true => Err(SqlError::new(SqlErrorKind::Invalid, format!("'{name}' exists already"))
                .hint("choose another name")),
        }
    }
}

fn register(context: &SessionContext, name: &str, schema: &SchemaRef) -> Result<(), SqlError> {
    let table = MemTable::try_new(nullable(schema), vec![vec![]])?;
    context.register_table(TableReference::bare(name), Arc::new(table))?;
    Ok(())
}

/// The same columns, all nullable: what the engine's rows are.
pub(crate) fn nullable(schema: &SchemaRef) -> SchemaRef {
    let field = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn invalid(message: String, hint: &str) -> SqlError {
    SqlError::new(SqlErrorKind::Invalid, message).hint(hint)
}

fn source_def(
    context: &SessionContext,
    source: SourceStatement,
    statement: Statement,
) -> Result<SourceDef, SqlError> {
    let mut fields = vec![];
    for column in &source.columns {
        let at = |e: SqlError| e.at(&statement.origin, column.place);
        let data_type = sql_type(context, &column.sql_type).map_err(at)?;
        if fields.iter().any(|f: &Field| f.name() == &column.name) {
            return Err(at(invalid(
                format!("column '{}' is there twice", column.name),
                "drop one",
            )));
        }
        fields.push(Field::new(&column.name, data_type, !column.required));
    }
    let file_schema = Arc::new(Schema::new(fields));
    let find = |option: &str, name: &str| {
        file_schema.index_of(name).map_err(|_| {
            let columns: Vec<&str> = source.columns.iter().map(|c| c.name.as_str()).collect();
            let hint = format!("the columns are {}", columns.join(", "));
            invalid(format!("{option}: source '{}' has no column '{name}'", source.name), &hint)
        })
    };
    let option = |name: &str| -> Result<Option<usize>, SqlError> {
        source.options.get(name).map(|c| find(name, &c.to_lowercase())).transpose()
    };
    let key = source.key.iter().map(|k| find("PRIMARY KEY", k)).collect::<Result<Vec<_>, _>>()?;
    let unique = unique(&source, &key)?;
    let mode = mode(&source, key, &file_schema, option("version")?, option("deleted")?)?;
    let format = source.options.get("format").map_or("parquet", String::as_str).to_string();
    let location = source.options.get("location").cloned().ok_or_else(|| {
        invalid(
            format!("source '{}' has no location", source.name),
            "add WITH (location = 'folder/'), relative to the lake, or an s3:// URL",
        )
    })?;
    let schema = match &mode {
        Mode::Changes { diff } => {
            let kept = (0..file_schema.fields().len()).filter(|i| i != diff).collect::<Vec<_>>();
            Arc::new(file_schema.project(&kept).map_err(|e| invalid(e.to_string(), ""))?)
        }
        _ => file_schema.clone(),
    };
    let checks = checks(&context.state(), &source, &file_schema)
        .map_err(|(e, place)| e.within(&statement.origin, place))?;
    Ok(SourceDef {
        optional: source.columns.iter().filter(|c| c.optional).map(|c| c.name.clone()).collect(),
        event_time: option("event_time")?,
        name: source.name,
        file_schema,
        schema,
        location,
        format,
        mode,
        checks,
        unique,
        statement,
    })
}

/// The key whose repeated rows are faults.
fn unique(source: &SourceStatement, key: &[usize]) -> Result<Option<Vec<usize>>, SqlError> {
    match source.options.get("duplicates").map(String::as_str) {
        None | Some("keep") => return Ok(None),
        Some("fault") => {}
        Some(other) => {
            let hint = "write 'keep' (the default) or 'fault'";
            return Err(invalid(format!("unknown value '{other}' of 'duplicates'"), hint));
        }
    }
    match source.options.get("mode").map_or("append", String::as_str) {
        "append" | "replace" if key.is_empty() => Err(invalid(
            format!("source '{}' says what to do with duplicates, but not of what", source.name),
            "add PRIMARY KEY (…) to its columns",
        )),
        "append" | "replace" => Ok(Some(key.to_vec())),
        mode => Err(invalid(
            format!("'duplicates' does not go with mode '{mode}'"),
            "leave it out: 'upsert' keeps the newest version of a key, 'changes' adds diffs up",
        )),
    }
}

/// The declared checks over rows of `schema`. Errors come with the place they are relative to.
fn checks(
    state: &SessionState,
    source: &SourceStatement,
    schema: &SchemaRef,
) -> Result<Vec<Check>, (SqlError, Place)> {
    let rows = nullable(schema);
    let one = |check: &CheckStatement| -> Result<Check, SqlError> {
        let typed = DFSchema::try_from(rows.as_ref().clone())?;
        let expr = state.create_logical_expr(&check.sql, &typed)?;
        let boolean = expr.get_type(&typed)?;
        if boolean != DataType::Boolean {
            let m = format!("check '{}' is {boolean}, not true or false", check.name);
            return Err(invalid(m, "compare something"));
        }
        refuse_unstable_expr(&expr)?;
        let predicate = physical(state, &expr, &typed, &rows)?;
        Ok(Check { name: check.name.clone(), text: check.sql.clone(), predicate })
    };
    source.checks.iter().map(|c| one(c).map_err(|e| (e, c.place))).collect()
}

fn mode(
    source: &SourceStatement,
    key: Vec<usize>,
    schema: &SchemaRef,
    version: Option<usize>,
    deleted: Option<usize>,
) -> Result<Mode, SqlError> {
    let name = source.options.get("mode").map_or("append", String::as_str);
    if name != "upsert" && (version.is_some() || deleted.is_some()) {
        return Err(invalid("'version' and 'deleted' belong to mode 'upsert'".into(), "drop them"));
    }
    let typed = |column: Option<usize>, wanted: DataType| match column {
        Some(c) if schema.field(c).data_type() != &wanted => {
            let (column, is) = (schema.field(c).name(), schema.field(c).data_type());
            Err(invalid(format!("column '{column}' is {is}"), &format!("declare it {wanted}")))
        }
        _ => Ok(()),
    };
    match name {
        "append" => Ok(Mode::Append),
        "replace" => Ok(Mode::Replace),
        "upsert" if key.is_empty() => Err(invalid(
            format!("source '{}' is upserted without a key", source.name),
            "add PRIMARY KEY (…) to its columns",
        )),
        "upsert" => {
            typed(deleted, DataType::Boolean)?;
            Ok(Mode::Upsert(Upsert { key, version, deleted }))
        }
        "changes" => {
            let diff = schema.index_of("_diff").map_err(|_| {
                let hint = "add a column _diff BIGINT NOT NULL: how often the row is added, \
                            or taken away if negative";
                invalid(format!("source '{}' of changes has no _diff", source.name), hint)
            })?;
            typed(Some(diff), DataType::Int64)?;
            match schema.field(diff).is_nullable() {
                false => Ok(Mode::Changes { diff }),
                true => Err(invalid("_diff may be null".into(), "declare it BIGINT NOT NULL")),
            }
        }
        other => Err(invalid(
            format!("unknown mode '{other}'"),
            "the modes are 'append', 'replace', 'upsert' and 'changes'",
        )),
    }
}

/// The normal type of a SQL type.
fn sql_type(context: &SessionContext, sql_type: &str) -> Result<DataType, SqlError> {
    let query = format!("SELECT CAST(NULL AS {sql_type}) AS c");
    let plan = block_on(context.state().create_logical_plan(&query))
        .map_err(|e| SqlError::new(SqlErrorKind::Invalid, SqlError::from(e).to_string()))?;
    let declared = plan.schema().field(0).data_type().clone();
    normal_type(&declared)
        .ok_or_else(|| SqlError::unsupported(format!("columns of type {declared}"), "use VARCHAR"))
}

/// The tables a view's text names.
fn reads(state: &SessionState, view: &ViewStatement) -> Result<Vec<String>, SqlError> {
    let statement =
        state.sql_to_statement(&view.query, &state.config().options().sql_parser.dialect)?;
    let tables = state.resolve_table_references(&statement)?;
    Ok(tables.into_iter().map(|t| t.table().to_string()).collect())
}

fn view_def(
    state: &SessionState,
    view: ViewStatement,
    reads: Vec<String>,
    statement: Statement,
) -> Result<ViewDef, SqlError> {
    let within = |e: SqlError| e.within(&statement.origin, view.query_place);
    let plan = block_on(state.create_logical_plan(&view.query)).map_err(|e| within(e.into()))?;
    let schema = normal_schema(plan.schema().as_arrow()).map_err(|column| {
        within(SqlError::unsupported(
            format!("column '{column}' has a type that cannot be kept"),
            "CAST it",
        ))
    })?;
    let mut names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
        let m = format!("view '{}' has two columns named '{}'", view.name, twice[0]);
        return Err(within(invalid(m, "give one another name with AS")));
    }
    let timed = |t: &DataType| matches!(t, DataType::Timestamp(_, _) | DataType::Date32);
    let time_column = match view.options.get("time_column") {
        Some(name) => {
            let found = schema.index_of(&name.to_lowercase()).ok();
            let found = found.filter(|c| timed(schema.field(*c).data_type()));
            Some(found.ok_or_else(|| {
                within(invalid(
                    format!("time_column '{name}' is no TIMESTAMP or DATE column of the view"),
                    "name one of its columns",
                ))
            })?)
        }
        None => schema.fields().iter().position(|f| timed(f.data_type())),
    };
    let name = view.name.clone();
    let materialized = view.materialized;
    let schema = Arc::new(schema);
    Ok(ViewDef { name, materialized, schema, plan, time_column, reads, statement, view })
}
