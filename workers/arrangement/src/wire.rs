//! Updates and runs as bytes: a header for the lanes, then Arrow IPC.
//!
//! A lane that is constant travels as its value in the header, any other as a column behind the
//! data columns. Both ends are the same build of the same program: there is no version.

use std::io::{Error, Read, Result, Write};
use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Field, Int64Type};
use arrow::datatypes::{Schema, UInt32Type, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::run::Run;
use crate::updates::{Lane, Updates};

/// Columns beside lanes, on their way into bytes.
struct Table {
    rows: usize,
    /// Per lane its constant value, if it has one.
    constants: Vec<Option<i128>>,
    columns: Vec<ArrayRef>,
}

fn put<T: ArrowPrimitiveType>(table: &mut Table, lane: &Lane<T::Native>)
where
    T::Native: Into<i128>,
{
    match lane {
        Lane::Constant { value, .. } => table.constants.push(Some((*value).into())),
        Lane::Each(values) => {
            table.constants.push(None);
            table.columns.push(Arc::new(PrimitiveArray::<T>::new(values.clone(), None)));
        }
    }
}

fn lanes(columns: &[ArrayRef], updates: &Updates) -> Table {
    let mut table = Table { rows: updates.len(), constants: vec![], columns: columns.to_vec() };
    put::<UInt64Type>(&mut table, &updates.times);
    put::<Int64Type>(&mut table, &updates.count);
    for sum in &updates.sums {
        put::<Decimal128Type>(&mut table, sum);
    }
    table
}

/// The header: rows, lanes, and per lane a flag and a value. Then the IPC stream.
fn write_table(table: &Table, out: &mut impl Write) -> Result<()> {
    out.write_all(&(table.rows as u64).to_le_bytes())?;
    out.write_all(&(table.constants.len() as u64).to_le_bytes())?;
    for constant in &table.constants {
        out.write_all(&u64::from(constant.is_some()).to_le_bytes())?;
        out.write_all(&constant.unwrap_or(0).to_le_bytes())?;
    }
    let field = |c: &ArrayRef| Field::new("", c.data_type().clone(), true);
    let schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(table.rows));
    let batch =
        RecordBatch::try_new_with_options(Arc::clone(&schema), table.columns.clone(), &options);
    let mut writer = StreamWriter::try_new(out, &schema).map_err(Error::other)?;
    writer.write(&batch.map_err(Error::other)?).map_err(Error::other)?;
    writer.finish().map_err(Error::other)
}

fn read_u64(from: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_table(from: &mut impl Read) -> Result<Table> {
    let rows = read_u64(from)? as usize;
    let lanes = read_u64(from)?;
    let mut constants = Vec::new();
    for _ in 0..lanes {
        let constant = read_u64(from)? != 0;
        let mut value = [0; 16];
        from.read_exact(&mut value)?;
        constants.push(constant.then(|| i128::from_le_bytes(value)));
    }
    let mut reader = StreamReader::try_new(from, None).map_err(Error::other)?;
    let batch = reader.next().ok_or_else(|| Error::other("no record batch"))?;
    let columns = batch.map_err(Error::other)?.columns().to_vec();
    // Read to the end of the stream: another may follow.
    match reader.next() {
        None => Ok(Table { rows, constants, columns }),
        Some(_) => Err(Error::other("a second record batch")),
    }
}

/// Takes lanes off a table, last first.
fn pop<T: ArrowPrimitiveType>(table: &mut Table) -> Result<Lane<T::Native>>
where
    T::Native: TryFrom<i128>,
{
    match table.constants.pop() {
        Some(Some(value)) => {
            let value =
                T::Native::try_from(value).map_err(|_| Error::other("lane out of range"))?;
            Ok(Lane::Constant { value, len: table.rows })
        }
        Some(None) => {
            let column = table.columns.pop();
            let column = column.as_ref().and_then(|c| c.as_primitive_opt::<T>());
            let column = column.ok_or_else(|| Error::other("a lane is missing"))?;
            Ok(Lane::Each(column.values().clone()))
        }
        None => Err(Error::other("a lane is missing")),
    }
}

fn take_lanes(mut table: Table) -> Result<Updates> {
    let mut sums = Vec::new();
    for _ in 2..table.constants.len() {
        sums.push(pop::<Decimal128Type>(&mut table)?);
    }
    sums.reverse();
    let count = pop::<Int64Type>(&mut table)?;
    let times = pop::<UInt64Type>(&mut table)?;
    Ok(Updates::with_sums(table.columns, times, count, sums))
}

/// Write a run: its rows, then its distinct keys.
pub(crate) fn write_run(run: &Run, out: &mut impl Write) -> Result<()> {
    let (times, count) = (run.times.clone(), run.count.clone());
    let rows = Updates::with_sums(run.values.clone(), times, count, run.sums.clone());
    write_table(&lanes(&rows.columns, &rows), out)?;
    let ends: Vec<u32> = (0..run.key_count()).map(|k| run.key_end(k) as u32).collect();
    let mut columns = run.keys.clone();
    columns.push(Arc::new(PrimitiveArray::<UInt64Type>::new(run.hashes.clone(), None)));
    columns.push(Arc::new(PrimitiveArray::<UInt32Type>::from(ends)));
    write_table(&Table { rows: run.key_count(), constants: vec![], columns }, out)
}

/// Read what [`write_run`] wrote.
pub(crate) fn read_run(mut from: impl Read) -> Result<Run> {
    let rows = take_lanes(read_table(&mut from)?)?;
    let Table { columns: mut keys, .. } = read_table(&mut from)?;
    let (Some(ends), Some(hashes)) = (keys.pop(), keys.pop()) else {
        return Err(Error::other("a run without keys"));
    };
    Ok(Run {
        hashes: hashes.as_primitive::<UInt64Type>().values().clone(),
        ends: ends.as_primitive::<UInt32Type>().values().clone(),
        base: 0,
        keys,
        allocated: rows.len(),
        values: rows.columns,
        times: rows.times,
        count: rows.count,
        sums: rows.sums,
    })
}

impl Updates {
    /// Length (of all, in bytes), then the table; padded to eight bytes. Made once.
    fn encoded(&self) -> &Arc<Vec<u8>> {
        self.encoded.get_or_init(|| {
            let mut bytes = vec![0; 8];
            write_table(&lanes(&self.columns, self), &mut bytes)
                .expect("normal types have an IPC form, and memory takes what is written");
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let length = bytes.len() as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            Arc::new(bytes)
        })
    }
}

impl ContainerBytes for Updates {
    fn from_bytes(bytes: Bytes) -> Self {
        let mut bytes = &bytes[8..];
        read_table(&mut bytes)
            .and_then(take_lanes)
            .unwrap_or_else(|e| panic!("updates from another process: {e}"))
    }

    fn length_in_bytes(&self) -> usize {
        self.encoded().len()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        writer.write_all(self.encoded()).expect("timely makes room for the length announced");
    }
}
