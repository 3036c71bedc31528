//! x
mod cells; mod compose; mod notice; mod routing; mod rows;
