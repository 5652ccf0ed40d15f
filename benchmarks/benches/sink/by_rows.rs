//! The sink that was: every row encoded by itself, in a sorted map; files decode into such maps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::world::TIME_COLUMN;
use crate::{BUCKET_DAYS, Change, FILE_ROWS_MAX, Table};

type Multiset = BTreeMap<Box<[u8]>, i64>;

pub struct ByRows {
    folder: PathBuf,
    schema: SchemaRef,
    converter: RowConverter,
    pending: BTreeMap<i64, Multiset>,
    /// By bucket; a bucket of this bench fits one file.
    files: BTreeMap<i64, PathBuf>,
}

pub fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("a level");
    WriterProperties::builder().set_compression(Compression::ZSTD(level)).build()
}

fn mix(h: u64, v: u64) -> u64 {
    let m = u128::from(h ^ v).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (m as u64) ^ ((m >> 64) as u64)
}

fn row_hash(row: &[u8]) -> u128 {
    let (mut a, mut b) = (0x243F_6A88_85A3_08D3u64, 0x1319_8A2E_0370_7344u64);
    for chunk in row.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        a = mix(a, word);
        b = mix(b.rotate_left(17), word ^ 0xA409_3822_299F_31D0);
    }
    u128::from(a) << 64 | u128::from(b)
}

impl ByRows {
    pub fn new(folder: &Path) -> ByRows {
        let schema = crate::world::schema();
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        ByRows {
            folder: folder.to_path_buf(),
            converter: RowConverter::new(fields.collect()).expect("plain types"),
            schema,
            pending: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    fn read(&self, path: &Path) -> Multiset {
        let bytes = Bytes::from(std::fs::read(path).expect("a file"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
        let mut rows = Multiset::new();
        for batch in reader.expect("Parquet") {
            let batch = batch.expect("readable");
            let encoded = self.converter.convert_columns(batch.columns()).expect("rows fit");
            for row in encoded.iter() {
                *rows.entry(row.data().into()).or_default() += 1;
            }
        }
        rows
    }

    fn write(&self, path: &Path, rows: &Multiset) {
        let mut writer = ArrowWriter::try_new(Vec::new(), self.schema.clone(), Some(properties()))
            .expect("starts");
        let parser = self.converter.parser();

        let copies: Vec<&Box<[u8]>> =
            rows.iter().flat_map(|(row, n)| std::iter::repeat_n(row, *n as usize)).collect();
        for part in copies.chunks(16_384) {
            let columns = self.converter.convert_rows(part.iter().map(|r| parser.parse(r)));
            let batch = RecordBatch::try_new(self.schema.clone(), columns.expect("rows"));
            writer.write(&batch.expect("fits")).expect("written");
        }
        std::fs::write(path, writer.into_inner().expect("written")).expect("written");
    }
}

impl Table for ByRows {
    fn push(&mut self, (rows, diffs): Change) {
        let encoded = self.converter.convert_columns(rows.columns()).expect("rows fit");
        let time = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        for ((row, at), diff) in encoded.iter().zip(time.values()).zip(diffs) {
            let bucket = at.div_euclid(i64::from(BUCKET_DAYS) * 86_400_000_000);
            let rows = self.pending.entry(bucket).or_default();
            *rows.entry(row.data().into()).or_default() += diff;
        }
    }

    fn commit(&mut self, t: u64) {
        for (bucket, changes) in std::mem::take(&mut self.pending) {
            let old = self.files.remove(&bucket);
            let mut rows = old.map(|path| self.read(&path)).unwrap_or_default();
            for (row, n) in changes {
                match rows.remove(&row).unwrap_or(0) + n {
                    0 => {}
                    copies => drop(rows.insert(row, copies)),
                }
            }
            let hashes = rows.keys().fold(0u128, |sum, row| sum.wrapping_add(row_hash(row)));
            assert!(hashes > 0 && rows.len() <= FILE_ROWS_MAX);
            let path = self.folder.join(format!("{t}-{bucket}.parquet"));
            self.write(&path, &rows);
            self.files.insert(bucket, path);
        }
    }
}
