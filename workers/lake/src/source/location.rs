//! Where sources live.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::ports::{PortError, PortErrorKind};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

/// An opened location.
#[derive(Clone, Debug)]
pub struct Location {
    /// The client.
    pub store: Arc<dyn ObjectStore>,
    /// The folder within it.
    pub prefix: Path,
    /// The folder on this machine, if it is a local one.
    pub local: Option<PathBuf>,
    /// As written, for messages.
    pub shown: String,
}

/// Longest wait for one answer of a store.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time one call is retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Open `location`: a folder, `file://` or `s3://`. Relative ones start at `lake`, which is a
/// folder or an `s3://` URL. `s3_options` are object_store's, with or without `aws_`.
///
/// # Errors
/// `Invalid` for a location that names nothing, `Denied` for S3 without credentials.
pub fn open_location(
    location: &str,
    lake: &str,
    s3_options: &BTreeMap<String, String>,
) -> Result<Location, PortError> {
    let full = match (location.contains("://"), lake.contains("://")) {
        (true, _) => location.to_string(),
        (false, true) => format!("{}/{location}", lake.trim_end_matches('/')),
        (false, false) => return open_local(&FilePath::new(lake).join(location), location),
    };
    let invalid = |e: &dyn std::fmt::Display| {
        PortError::new(PortErrorKind::Invalid, format!("location '{location}': {e}"))
    };
    let url = Url::parse(&full).map_err(|e| invalid(&e))?;
    match url.scheme() {
        "file" => {
            let folder = url.to_file_path().map_err(|()| invalid(&"no local folder"))?;
            open_local(&folder, location)
        }
        "s3" | "s3a" => {
            let bucket = url.host_str().ok_or_else(|| invalid(&"write s3://bucket/folder"))?;
            let store = open_bucket(bucket, s3_options)?;
            let prefix = Path::from_url_path(url.path()).map_err(|e| invalid(&e))?;
            Ok(Location { store, prefix, local: None, shown: full })
        }
        other => Err(invalid(&format!("'{other}://' is not supported: use a folder or s3://"))),
    }
}

fn open_local(folder: &FilePath, shown: &str) -> Result<Location, PortError> {
    let absolute = std::path::absolute(folder).map_err(|e| {
        PortError::new(PortErrorKind::Invalid, format!("location '{shown}'")).with_source(e)
    })?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let prefix = Path::from_absolute_path(&absolute).map_err(|e| {
        PortError::new(PortErrorKind::Invalid, format!("location '{shown}'")).with_source(e)
    })?;
    Ok(Location { store, prefix, local: Some(absolute), shown: shown.to_string() })
}

/// A client for a bucket. Credentials have to be given: a laptop without any would otherwise wait
/// for a metadata service that is not there.
///
/// # Errors
/// `Denied` without credentials, `Invalid` for options that make no sense.
pub fn open_bucket(
    bucket: &str,
    s3_options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, PortError> {
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    let given = |names: &[&str]| {
        let set = |n: &&str| s3_options.keys().any(|k| k.trim_start_matches("aws_") == *n);
        names.iter().any(set)
    };
    let sources = [
        "access_key_id",
        "web_identity_token_file",
        "container_credentials_relative_uri",
        "container_credentials_full_uri",
        "skip_signature",
        "metadata_endpoint",
    ];
    if !given(&sources) {
        let message = format!(
            "bucket '{bucket}': no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
             or [s3] access_key_id and secret_access_key in the settings"
        );
        return Err(PortError::new(PortErrorKind::Denied, message));
    }
    for (name, value) in s3_options {
        let plain = name.trim_start_matches("aws_").to_lowercase();
        let known = [plain.clone(), format!("aws_{plain}")];
        if let Some(key) = known.iter().find_map(|k| k.parse::<AmazonS3ConfigKey>().ok()) {
            builder = builder.with_config(key, value);
        }
    }
    let allow_http = s3_options.get("allow_http").is_some_and(|v| v == "true");
    let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_allow_http(allow_http);
    let retry = RetryConfig { retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let store = builder.with_client_options(client).with_retry(retry).build().map_err(|e| {
        PortError::new(PortErrorKind::Invalid, format!("bucket '{bucket}'")).with_source(e)
    })?;
    Ok(Arc::new(store))
}

/// What a failed call of a store means for its caller. `doing` names the object.
pub(crate) fn store_error(doing: String, error: object_store::Error) -> PortError {
    use object_store::Error as E;
    let kind = match &error {
        E::NotFound { .. } | E::Precondition { .. } => PortErrorKind::Gone,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => PortErrorKind::Denied,
        E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => {
            PortErrorKind::Invalid
        }
        _ => PortErrorKind::Outage,
    };
    PortError::new(kind, format!("{doing}: {error}"))
}
