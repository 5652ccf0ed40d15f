//! One writer per local lake: an operating system's lock, which dies with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the machine.
    pub host: String,
    /// Number of the process on it.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on host '{}' (version {})", self.pid, self.host, self.version)
    }
}

/// Held until dropped.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

impl LakeLock {
    /// Lock the lake in `folder`.
    ///
    /// # Errors
    /// `Held`, naming the holder.
    pub fn acquire(folder: &Path, identity: &Identity) -> Result<LakeLock> {
        let path = folder.join("_tidewatch").join("lock");
        let failed = |source| LakeError::File { path: path.display().to_string(), source };
        std::fs::create_dir_all(folder.join("_tidewatch")).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // A holder that cannot be read is still a holder.
                let _ = file.read_to_string(&mut text);
                let holder = serde_json::from_str::<Identity>(&text);
                let holder = holder.map_or("another process".to_string(), |i| i.to_string());
                return Err(LakeError::Held { lake: folder.display().to_string(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let text = serde_json::to_vec(identity).map_err(|e| failed(e.into()))?;
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.flush()).map_err(failed)?;
        Ok(LakeLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_told_who_holds_the_lake() {
        let folder = tempfile::tempdir().unwrap();
        let me = Identity { host: "tide".into(), pid: 7, version: "1".into() };
        let held = LakeLock::acquire(folder.path(), &me).unwrap();
        let error = LakeLock::acquire(folder.path(), &me).unwrap_err().to_string();
        assert!(error.contains("process 7 on host 'tide'"), "{error}");
        drop(held);
        LakeLock::acquire(folder.path(), &me).unwrap();
    }
}
