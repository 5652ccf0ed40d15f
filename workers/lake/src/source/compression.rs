//! Text files that are compressed as a whole, by the ending of their names.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;

/// Bytes of text that are decoded at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// The endings of names, and what they say.
    const ENDINGS: [(&'static str, Compression); 2] =
        [(".gz", Compression::Gzip), (".zst", Compression::Zstd)];

    /// How the file at `path` is compressed, and its path without that ending.
    pub(crate) fn of(path: &str) -> (Option<Compression>, &str) {
        let found = Compression::ENDINGS.into_iter().find_map(|(ending, compression)| {
            let at = path.len().checked_sub(ending.len())?;
            let cut = path.get(at..).is_some_and(|e| e.eq_ignore_ascii_case(ending));
            cut.then(|| (compression, &path[..at]))
        });
        found.map_or((None, path), |(compression, rest)| (Some(compression), rest))
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    fn decoder(self, bytes: Bytes) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(bytes.reader())),
            Compression::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(bytes.reader())?)
            }
        })
    }

    /// Whether `bytes` can be decoded to the end.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(self, bytes: Bytes) -> Result<(), String> {
        let decoded = self.decoder(bytes).and_then(|mut d| io::copy(&mut d, &mut io::sink()));
        decoded.map(|_| ()).map_err(|e| format!("is no whole {} file: {e}", self.name()))
    }
}

/// The text of the file at `path`, decoded while it is read. An archive that is cut off counts as
/// no text at all, so it is decoded once before: memory stays that of the compressed file.
///
/// # Errors
/// Why it cannot be decoded.
pub(crate) fn text(path: &str, bytes: Bytes) -> Result<Box<dyn BufRead>, String> {
    let Some(compression) = Compression::of(path).0 else { return Ok(Box::new(bytes.reader())) };
    compression.check(bytes.clone())?;
    let decoder = compression.decoder(bytes).map_err(|e| e.to_string())?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn archives_are_known_by_name_and_read_to_the_end_or_not_at_all() {
        assert_eq!(Compression::of("a/b.jsonl.gz"), (Some(Compression::Gzip), "a/b.jsonl"));
        assert_eq!(Compression::of("a.gz/b.csv"), (None, "a.gz/b.csv"));
        let lines = "a line\n".repeat(10_000);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(lines.as_bytes()).expect("encodes");
        let gzip = gzip.finish().expect("encodes");
        let zstd = zstd::encode_all(lines.as_bytes(), 1).expect("encodes");
        for (name, whole) in [("x.csv.gz", gzip), ("x.csv.zst", zstd)] {
            // Archives may be written one behind the other.
            let twice = Bytes::from([whole.clone(), whole.clone()].concat());
            let mut read = String::new();
            text(name, twice).expect("whole").read_to_string(&mut read).expect("text");
            assert_eq!(read.len(), 2 * lines.len(), "{name}");
            let cut = Bytes::from(whole[..whole.len() - 3].to_vec());
            let refused = text(name, cut).err().expect("refused");
            assert!(refused.contains("is no whole"), "{refused}");
        }
    }
}
