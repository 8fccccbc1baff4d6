//! The output of `predict`, row by row: text, JSON, JSON lines, CSV.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use tallow_serve::{Class, Prediction};

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines to read
    Text,
    /// One array
    Json,
    /// One JSON object per line
    Jsonl,
    /// A row per class: image, rank, label, probability, error
    Csv,
}

/// A row: the classes of an image, or why it has none.
pub type Row<'a> = std::result::Result<&'a [Class], &'a str>;

/// Writes rows as they come. Each is complete in the output before the next begins.
pub struct Rows<W> {
    out: W,
    format: Format,
    rows: usize,
}

/// A row as `serve` writes one, or one without classes.
#[derive(Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Classes(Prediction),
    Failed { image: &'a str, error: &'a str },
}

impl<W: Write> Rows<W> {
    /// Writes what comes before the first row.
    pub fn new(mut out: W, format: Format) -> io::Result<Self> {
        match format {
            Format::Csv => out.write_all(b"image,rank,label,probability,error\n")?,
            Format::Json => out.write_all(b"[")?,
            Format::Jsonl | Format::Text => {}
        }
        Ok(Self { out, format, rows: 0 })
    }

    /// Writes a row.
    pub fn row(&mut self, image: &str, row: Row<'_>) -> Result<()> {
        let text = match self.format {
            Format::Text => text(image, row),
            Format::Jsonl => serde_json::to_string(&json(image, row))? + "\n",
            Format::Json => {
                let text = serde_json::to_string_pretty(&json(image, row))?.replace('\n', "\n  ");
                format!("{}\n  {text}", if self.rows > 0 { "," } else { "" })
            }
            Format::Csv => csv(image, row)?,
        };
        self.rows += 1;
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Writes what comes after the last row.
    pub fn end(mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.out.write_all(if self.rows > 0 { "\n]\n" } else { "]\n" }.as_bytes())?;
        }
        self.out.flush()
    }
}

fn text(image: &str, row: Row<'_>) -> String {
    let lines: Vec<String> = match row {
        Ok(classes) => classes.iter().map(|c| format!("  {:6.2} %  {}\n", 100.0 * c.probability, c.label)).collect(),
        Err(error) => vec![format!("  error: {error}\n")],
    };
    format!("{image}\n{}", lines.concat())
}

fn json<'a>(image: &'a str, row: Row<'a>) -> Json<'a> {
    match row {
        Ok(classes) => Json::Classes(Prediction { image: image.to_owned(), classes: classes.to_vec() }),
        Err(error) => Json::Failed { image, error },
    }
}

fn csv(image: &str, row: Row<'_>) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    match row {
        Ok(classes) => {
            for (rank, class) in classes.iter().enumerate() {
                let (rank, probability) = ((rank + 1).to_string(), format!("{:.6}", class.probability));
                csv.write_record([image, &rank, &class.label, &probability, ""])?;
            }
        }
        Err(error) => csv.write_record([image, "", "", "", error])?,
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> Result<String> {
        let class = |label: &str, probability| Class { label: label.to_owned(), probability };
        let mut out = Vec::new();
        let mut rows = Rows::new(&mut out, format)?;
        rows.row("a,b.png", Ok(&[class("cat", 0.75), class("dog", 0.25)]))?;
        rows.row("bad.png", Err("the file is empty"))?;
        rows.end()?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn every_format_has_a_row_for_each_image_and_error() -> Result<()> {
        assert_eq!(
            written(Format::Csv)?,
            "image,rank,label,probability,error\n\"a,b.png\",1,cat,0.750000,\n\"a,b.png\",2,dog,0.250000,\n\
             bad.png,,,,the file is empty\n"
        );
        assert_eq!(
            written(Format::Text)?,
            "a,b.png\n   75.00 %  cat\n   25.00 %  dog\nbad.png\n  error: the file is empty\n"
        );
        let array: serde_json::Value = serde_json::from_str(&written(Format::Json)?)?;
        let lines = written(Format::Jsonl)?;
        let lines: Vec<serde_json::Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert_eq!(array, serde_json::Value::Array(lines));
        assert_eq!(array[0]["classes"][1]["probability"], 0.25);
        assert_eq!(array[1], serde_json::json!({ "image": "bad.png", "error": "the file is empty" }));
        // One array, indented as serde_json indents it.
        assert_eq!(written(Format::Json)?, serde_json::to_string_pretty(&array)? + "\n");
        Ok(())
    }
}
