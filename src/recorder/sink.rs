//! The writer's side of one trace: chain, seal, write, make durable.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Failure, RecordError, TraceKey, file};
use crate::{
    model::id::TraceId,
    trace::{
        chain::{Chain, Head},
        fit::Fitted,
        segment::{Header, Nonce, Salt, Sealer},
    },
};

/// One trace's files as the writer holds them.
pub(super) struct Sink {
    folder: PathBuf,
    key: TraceKey,
    salt: Salt,
    limit: u64,
    chain: Chain,
    // Where the trace stands in the file, and on disk.
    written: Head,
    durable: Head,
    segment: u32,
    first_seq: u64,
    sealer: Sealer,
    file: File,
    // Bytes in the file.
    len: u64,
    // Frames that are not in the file yet, and where each ends with the head there.
    pending: Vec<u8>,
    marks: Vec<(usize, Head)>,
}

impl Sink {
    /// Makes the trace's folder and first segment, durably.
    pub(super) fn create(
        dir: &Path,
        trace: TraceId,
        key: TraceKey,
        limit: u64,
    ) -> Result<Self, RecordError> {
        let salt = Salt::new(random().map_err(RecordError::Failed)?);
        let chain = Chain::new(trace);
        let (sealer, bytes) = begin(&chain, 1, &key, &salt).map_err(RecordError::Failed)?;
        let folder = dir.join(trace.to_string());
        file::create_folder(&folder).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => RecordError::Exists(trace),
            _ => RecordError::create(&folder, &error),
        })?;
        let path = file::segment_path(&folder, 1);
        let created = file::create_file(&path, &bytes).and_then(|file| {
            file::sync_folder(&folder)?;
            file::sync_folder(dir)?;
            Ok(file)
        });
        let file = match created {
            Ok(file) => file,
            Err(error) => {
                // Nothing was recorded: leave nothing behind, as far as possible.
                let _ = std::fs::remove_file(&path);
                let _ = std::fs::remove_dir(&folder);
                return Err(RecordError::create(&path, &error));
            }
        };
        Ok(Self {
            folder,
            key,
            salt,
            limit,
            written: chain.head(),
            durable: chain.head(),
            chain,
            segment: 1,
            first_seq: 1,
            sealer,
            file,
            len: bytes.len() as u64,
            pending: Vec::new(),
            marks: Vec::new(),
        })
    }

    pub(super) const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The last head that is on disk.
    pub(super) const fn durable(&self) -> Head {
        self.durable
    }

    /// Whether all that was written is on disk.
    pub(super) const fn is_synced(&self) -> bool {
        self.written.records == self.durable.records
    }

    /// Writes the records to the file, where they outlive the broker; on disk they
    /// are once it is [synced](Self::sync). After a failure the sink is of no use,
    /// but its [`durable`](Self::durable) head holds.
    pub(super) fn write(&mut self, records: Vec<Fitted>) -> Result<(), Failure> {
        for record in records {
            if let Err(failure) = self.append(record) {
                // What came before the one that failed was promised a place.
                self.flush()?;
                self.sync()?;
                return Err(failure);
            }
        }
        self.flush()
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if self.is_synced() {
            return Ok(());
        }
        // What a failed sync left of the file is unknown: it counts for nothing.
        self.file
            .sync_data()
            .map_err(|error| Failure::new("make the trace durable", &error))?;
        self.durable = self.written;
        Ok(())
    }

    /// Makes file and folder durable for good.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.file
            .sync_all()
            .and_then(|()| file::sync_folder(&self.folder))
            .map_err(|error| Failure::new("finish the trace", &error))
    }

    fn append(&mut self, record: Fitted) -> Result<(), Failure> {
        let malformed = |error: &dyn std::error::Error| Failure::Malformed(error.to_string());
        // The line is measured by its upper bound: it has to be known whether it
        // fits before it is chained, for the new segment's header holds the head
        // before it.
        let frame = Sealer::frame_len(record.weight()) as u64;
        let full = self.len + self.pending.len() as u64 + frame > self.limit;
        if full && !self.is_empty() {
            self.flush()?;
            self.sync()?;
            self.roll()?;
        }
        let nonce: Nonce = *random()?;
        let line = self.chain.append(record).map_err(|e| malformed(&e))?;
        self.sealer
            .frame(&line, nonce, &mut self.pending)
            .map_err(|e| malformed(&e))?;
        self.marks.push((self.pending.len(), self.chain.head()));
        Ok(())
    }

    // Whether the segment has no record yet.
    const fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.first_seq > self.written.records
    }

    fn roll(&mut self) -> Result<(), Failure> {
        let segment = self.segment.saturating_add(1);
        let (sealer, bytes) = begin(&self.chain, segment, &self.key, &self.salt)?;
        let path = file::segment_path(&self.folder, segment);
        let file = file::create_file(&path, &bytes)
            .and_then(|file| file::sync_folder(&self.folder).map(|()| file))
            .map_err(|error| Failure::new("begin a segment", &error))?;
        self.segment = segment;
        self.first_seq = self.chain.head().records.saturating_add(1);
        self.sealer = sealer;
        self.file = file;
        self.len = bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let Some((end, head)) = self.marks.last().copied() else {
            return Ok(());
        };
        if let Err((written, error)) = file::write_counted(&mut self.file, &self.pending) {
            self.keep_whole_frames(written);
            return Err(Failure::new("write the trace", &error));
        }
        // Nothing is kept for a trace that rests: beside a write, what is allocated
        // for it is little.
        self.pending = Vec::new();
        self.marks = Vec::new();
        self.written = head;
        self.len += end as u64;
        Ok(())
    }

    // After a short write: what is whole stays, the remainder goes.
    fn keep_whole_frames(&mut self, written: usize) {
        let whole = self.marks.iter().rfind(|(end, _)| *end <= written).copied();
        let (end, head) = whole.unwrap_or((0, self.written));
        let len = self.len + end as u64;
        let kept = self.file.set_len(len).and_then(|()| self.file.sync_data());
        if kept.is_ok() {
            self.written = head;
            self.durable = head;
            self.len = len;
        }
        self.pending.clear();
        self.marks.clear();
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink")
            .field("folder", &self.folder)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

fn begin(
    chain: &Chain,
    segment: u32,
    key: &TraceKey,
    salt: &Salt,
) -> Result<(Sealer, Vec<u8>), Failure> {
    let head = chain.head();
    let header = Header {
        trace: head.trace,
        segment,
        first_seq: head.records.saturating_add(1),
        prev: head.hash,
        wrapped: key.wrapped.clone(),
    };
    let nonce: Nonce = *random()?;
    Sealer::begin(&header, &key.key, salt, nonce)
        .map_err(|error| Failure::Malformed(error.to_string()))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| Failure::Io {
        doing: "draw random bytes",
        error: error.to_string(),
    })?;
    Ok(bytes)
}
