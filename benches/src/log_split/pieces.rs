//! What a log record becomes, without the engine: its pieces by topic.

use connectors::format::app_log::{AppLog, Endings, Layout, Main, Split, SplitOptions};

/// Index of each topic, as in `jobs::dwd::log_split::TOPICS`; dead letters follow.
const PAGE: usize = 0;
const START: usize = 1;
const DISPLAY: usize = 2;
const ACTION: usize = 3;
const ERROR: usize = 4;
/// Index of the topic of dead letters.
pub(crate) const DEAD: usize = 5;

/// Splits records; holds buffers.
#[derive(Default)]
pub(crate) struct Pieces {
    layout: Vec<u8>,
    piece: Vec<u8>,
    endings: Endings,
}

impl Pieces {
    /// Calls `each` with topic and bytes of every piece of a record, as
    /// `connectors::format::app_log::emit::Splitter` makes them; a repair of `is_new` changes no length.
    pub(crate) fn each<E>(
        &mut self,
        log: &AppLog<'_>,
        value: &[u8],
        each: &mut dyn FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.layout.clear();
        log.write_layout(&mut self.layout);
        let layout = Layout::read(&self.layout);
        let options = SplitOptions::default();
        let split = Split::new(value, layout, false, options, &mut self.endings);
        let piece = &mut self.piece;
        let mut output = |topic, write: &dyn Fn(&mut Vec<u8>)| {
            piece.clear();
            write(piece);
            each(topic, piece)
        };
        if layout.has_err() {
            output(ERROR, &|out| split.write_error(out))?;
        }
        match layout.main() {
            Main::Start => output(START, &|out| split.write_main(out))?,
            Main::Page => {
                for element in layout.displays() {
                    output(DISPLAY, &|out| split.write_display(element, out))?;
                }
                for element in layout.actions() {
                    output(ACTION, &|out| split.write_action(element, out))?;
                }
                output(PAGE, &|out| split.write_main(out))?;
            }
            Main::None => {}
        }
        Ok(())
    }
}
