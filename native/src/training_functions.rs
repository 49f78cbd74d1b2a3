//! The functions around training: sampling, training, trying a dictionary on what was held back; and sqlite-zstd's two aggregates.

use std::rc::Rc;

use crate::api;
use crate::call::{Aggregate, Call, Failure, Outcome, Scalar};
use crate::cells::level;
use crate::clock::cpu_seconds;
use crate::handles::{Handle, dictionary, samples};
use crate::log::{Level, log};
use crate::memory::copy;
use crate::samples::{Sampling, bytes_of};
use crate::sql::Statement;
use crate::training::{Trainer, train};
use crate::zstd::{Dictionary, Encoding, Fault};

/// Bytes of samples where nothing else is asked for.
const SAMPLE_BYTES: usize = 32 << 20;
/// Bytes of samples that sqlite-zstd's aggregates keep, however many they are asked for.
const MOST_BYTES: usize = 64 << 20;

/// `zstd_train_dict(value, size, samples)`: a dictionary of at most `size` bytes from that many of the values.
#[derive(Default)]
pub struct ZstdTrainDict {
    sampling: Option<Sampling>,
    size: usize,
}

/// `zstd_train_dict_and_save(value, size, samples, key)`: the same, put into `_zstd_dicts`; gives its id there.
#[derive(Default)]
pub struct ZstdTrainDictAndSave {
    trained: ZstdTrainDict,
    key: Option<String>,
}

impl Aggregate for ZstdTrainDict {
    fn step(&mut self, call: &Call) -> Outcome {
        if self.sampling.is_none() {
            self.size = count(call, 1, "size of the dictionary")?;
            call.whole(1, "the size of the dictionary")?;
            self.sampling = Some(Sampling::new(count(call, 2, "number of samples")?, MOST_BYTES));
        }
        if let Some(sampling) = &mut self.sampling
            && call.has_bytes(0)
        {
            sampling.offer(call.bytes(0))?;
        }
        Ok(())
    }

    fn last(self, call: &Call) -> Outcome {
        let dictionary = self.dictionary()?;
        call.give_bytes(&dictionary, false);
        Ok(())
    }
}

impl ZstdTrainDict {
    fn dictionary(self) -> Outcome<Vec<u8>> {
        let seen = self.sampling.as_ref().map_or(0, |sampling| sampling.seen_cells);
        let samples = self.sampling.map(Sampling::into_all).transpose()?.unwrap_or_default();
        log(Level::Info, || {
            format!("training a dictionary on {} bytes, {} of {seen} values", bytes_of(&samples), samples.len())
        });
        if samples.is_empty() {
            return Err("no dictionary can be made: there is no text or blob to make it from".into());
        }
        train(Trainer::Default, &samples, self.size, usize::MAX, 0)
    }
}

impl Aggregate for ZstdTrainDictAndSave {
    fn step(&mut self, call: &Call) -> Outcome {
        if self.trained.sampling.is_none() {
            self.key = match call.type_of(3) {
                api::NULL => None,
                api::TEXT => Some(call.text(3)?.to_owned()),
                _ => return Err("the key of a dictionary is a text, or NULL".into()),
            };
        }
        self.trained.step(call)
    }

    fn last(self, call: &Call) -> Outcome {
        let dictionary = self.trained.dictionary()?;
        let (api, db) = (call.api, call.connection.db);
        let sql = "INSERT INTO _zstd_dicts (chooser_key, dict) VALUES (?, ?) RETURNING id";
        let mut statement = Statement::new(api, db, sql)?;
        match &self.key {
            Some(key) => statement.bind_text(1, key)?,
            None => statement.bind_null(1)?,
        }
        statement.bind_blob(2, &dictionary)?;
        if !statement.step()? {
            return Err("the dictionary was not saved".into());
        }
        let id = statement.integer(0);
        statement.step()?;
        call.give_integer(id);
        Ok(())
    }
}

/// A positive number, whole or not.
fn count(call: &Call, index: usize, what: &str) -> Outcome<usize> {
    let number = call.real(index);
    if !matches!(call.type_of(index), api::INTEGER | api::FLOAT) || number.is_nan() || number < 1.0 {
        return Err(format!("the {what} is a number of at least 1").into());
    }
    Ok(number as usize)
}

/// A positive number, or where the argument is absent or NULL what stands for it.
fn count_or(call: &Call, index: usize, what: &str, default: usize) -> Outcome<usize> {
    if index >= call.arguments.len() || call.is_null(index) { Ok(default) } else { count(call, index, what) }
}

/// `tamp_sample(value, max_bytes)`: the number of a sample of the values, at most so many bytes; NULL where there was none.
#[derive(Default)]
pub struct TampSample(Option<Sampling>);

impl Aggregate for TampSample {
    fn step(&mut self, call: &Call) -> Outcome {
        let sampling = match &mut self.0 {
            Some(sampling) => sampling,
            none => none.insert(Sampling::new(usize::MAX, count_or(call, 1, "size of the sample", SAMPLE_BYTES)?)),
        };
        if call.has_bytes(0) {
            sampling.offer(call.bytes(0))?;
        }
        Ok(())
    }

    fn last(self, call: &Call) -> Outcome {
        if let Some(sampling) = self.0
            && sampling.seen_cells > 0
        {
            let samples = Handle::Samples(Rc::new(sampling.finish()?));
            call.give_integer(call.connection.handles.borrow_mut().add(samples));
        }
        Ok(())
    }
}

/// `tamp_samples(sample)`: how large it is, as JSON.
pub struct TampSamples;

impl Scalar for TampSamples {
    fn call(call: &Call) -> Outcome {
        if call.is_null(0) {
            return Ok(());
        }
        let samples = samples(call, 0)?;
        call.give_text(&format!(
            r#"{{"cells":{},"bytes":{},"seenCells":{},"seenBytes":{},"heldBackCells":{},"heldBackBytes":{}}}"#,
            samples.training.len() + samples.held_back.len(),
            bytes_of(&samples.training) + bytes_of(&samples.held_back),
            samples.seen_cells,
            samples.seen_bytes,
            samples.held_back.len(),
            bytes_of(&samples.held_back),
        ));
        Ok(())
    }
}

/// `tamp_train(sample, trainer, dictionary_bytes, level [, sample_bytes])`: the number of a dictionary, NULL where none can be made.
pub struct TampTrain;

impl Scalar for TampTrain {
    fn call(call: &Call) -> Outcome {
        if call.is_null(0) {
            return Ok(());
        }
        let samples = samples(call, 0)?;
        let trainer = Trainer::of(call.text(1)?).ok_or("a trainer is 'default' or 'cover'")?;
        let size = count(call, 2, "size of the dictionary")?;
        let level = level(call, 3)?;
        let sample_bytes = count_or(call, 4, "size of the samples", trainer.sample_bytes(size))?;
        match train(trainer, &samples.training, size, sample_bytes, level) {
            Ok(bytes) => {
                let told = |fault: Fault| fault.told(|reason| format!("the dictionary that zstd made {reason}"));
                let dictionary = Dictionary::new(bytes).map_err(told)?;
                let dictionary = Handle::Dictionary(Rc::new(dictionary));
                call.give_integer(call.connection.handles.borrow_mut().add(dictionary));
            }
            Err(Failure::Message(reason)) => log(Level::Info, || reason),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

/// `tamp_dictionary(dictionary)`: its bytes.
pub struct TampDictionary;

impl Scalar for TampDictionary {
    fn call(call: &Call) -> Outcome {
        if !call.is_null(0) {
            call.give_bytes(dictionary(call, 0)?.bytes(), false);
        }
        Ok(())
    }
}

/// `tamp_release(number)`: forgets a sample or a dictionary. NULL.
pub struct TampRelease;

impl Scalar for TampRelease {
    fn call(call: &Call) -> Outcome {
        let handle = call.connection.handles.borrow_mut().remove(call.integer(0));
        drop(handle);
        Ok(())
    }
}

/// `tamp_trial(sample, dictionary, level [, bytes])`: what the held-back values come to with a dictionary, or with none (NULL), as JSON.
/// At most `bytes` of them are tried.
pub struct TampTrial;

impl Scalar for TampTrial {
    fn call(call: &Call) -> Outcome {
        if call.is_null(0) {
            return Ok(());
        }
        let samples = samples(call, 0)?;
        let dictionary = if call.is_null(1) { None } else { Some(dictionary(call, 1)?) };
        let level = level(call, 2)?;
        let most = count_or(call, 3, "number of bytes to try", usize::MAX)?;
        let encoding = match &dictionary {
            Some(dictionary) => Encoding::Dictionary(Rc::new(dictionary.encoder(level).ok_or(Failure::NoMemory)?)),
            None => Encoding::Level(level),
        };
        let told = |fault: Fault| fault.told(|reason| format!("trial failed: {reason}"));
        let mut codec = call.connection.codec.borrow_mut();
        let (mut cells, mut plain_bytes, mut bytes) = (0, 0, 0);
        let (mut encode_seconds, mut decode_seconds) = (0.0, 0.0);
        // Clocks are read once a batch: reading one takes longer than decoding a cell.
        for batch in samples.held_back.chunks(64) {
            if plain_bytes >= most {
                break;
            }
            let mut frames = Vec::with_capacity(batch.len());
            let started = cpu_seconds();
            for cell in batch {
                frames.push(copy(codec.encode_only(cell, &encoding, true).map_err(told)?)?);
            }
            let encoded = cpu_seconds();
            for (frame, cell) in frames.iter().zip(batch) {
                let decoded = codec.decode(frame, dictionary.as_deref(), true, usize::MAX).map_err(told)?;
                if decoded.bytes().len() != cell.len() {
                    return Err("trial failed: what was encoded does not decode to the value".into());
                }
            }
            decode_seconds += cpu_seconds() - encoded;
            encode_seconds += encoded - started;
            cells += batch.len();
            plain_bytes += bytes_of(batch);
            bytes += frames.iter().map(Vec::len).sum::<usize>();
            call.stop_if_interrupted()?;
        }
        codec.rest();
        call.give_text(&format!(
            r#"{{"cells":{cells},"plainBytes":{plain_bytes},"bytes":{bytes},"encodeSeconds":{encode_seconds:.6},"decodeSeconds":{decode_seconds:.6}}}"#
        ));
        Ok(())
    }
}
