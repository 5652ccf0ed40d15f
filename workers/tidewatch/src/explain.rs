//! `tidewatch explain`

use std::process::ExitCode;

use anyhow::Result;
use lake::Store;
use lake::log::read_state;

use crate::cli::{Explain, Format};
use crate::settings::Settings;
use crate::{catalog, outside};

/// Print the plan.
pub fn command(args: &Explain, settings: &Settings) -> Result<ExitCode> {
    let texts = match &args.lake {
        Some(lake) if args.sql.is_empty() => {
            let store = Store::open(lake, &settings.s3, &std::env::current_dir()?)?;
            catalog::from_log(&outside::runtime()?.block_on(read_state(&store))?)
        }
        _ => catalog::from_files(&args.sql)?,
    };
    let plan = sql::lower(&catalog::plan(&texts)?)?;
    if args.format == Format::Json {
        let nodes: Vec<_> = plan
            .nodes()
            .iter()
            .enumerate()
            .map(|(id, node)| {
                serde_json::json!({
                    "id": id, "view": node.view, "inputs": node.inputs,
                    "operator": node.operator.to_string(),
                    "columns": node.schema.fields().iter()
                        .map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>(),
                })
            })
            .collect();
        let text = serde_json::json!({
            "fingerprint": format!("{:016x}", plan.fingerprint()), "nodes": nodes,
        });
        println!("{text}");
    } else {
        print!("{plan}");
        println!("fingerprint {:016x}", plan.fingerprint());
    }
    Ok(ExitCode::SUCCESS)
}
