// Beats of the chains: ceil(slots / span) of an output, outputs without a gap, then length + 2 cycles.
// span: slots of one beat, floor(length / n) groups of n. Columns run inside rows.
module chain_sequencer #(
    parameter int ROWS = 1,
    parameter int COLS = 1,
    parameter int LENGTH = 4,
    parameter int SZ = 16
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          en,
    input  logic          start,
    input  logic [1:0]    mode,
    input  logic [SZ-1:0] m_size,
    input  logic [SZ-1:0] n_size,
    input  logic [SZ-1:0] slots,
    output logic          running,
    output logic          beat_valid,
    output logic          beat_first,
    output logic          beat_last,
    output logic [SZ-1:0] slots_used,
    output logic [SZ-1:0] rows_used,
    output logic [SZ-1:0] cols_used
);
  logic [SZ-1:0] rows_left, cols_left, slots_left, span, drain;
  logic draining;

  always_comb begin
    span = LENGTH;
    if (mode == 1 || mode == 3) span = (LENGTH / 2) * 2;
    slots_used = slots_left;
    if (slots_left > span) slots_used = span;
    rows_used = rows_left;
    if (rows_left > ROWS) rows_used = ROWS;
    cols_used = cols_left;
    if (cols_left > COLS) cols_used = COLS;
    beat_valid = running && !draining;
    beat_first = beat_valid && slots_left == slots;
    beat_last = beat_valid && slots_left <= span;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      draining <= 0;
      drain <= 0;
      rows_left <= 0;
      cols_left <= 0;
      slots_left <= 0;
    end else if (!running) begin
      if (start) begin
        running <= 1;
        draining <= 0;
        drain <= 0;
        rows_left <= m_size;
        cols_left <= n_size;
        slots_left <= slots;
      end
    end else if (en) begin
      if (draining) begin
        drain <= drain + 1;
        if (drain == LENGTH + 1) running <= 0;
      end else if (!beat_last) slots_left <= slots_left - span;
      else begin
        slots_left <= slots;
        if (cols_left > COLS) cols_left <= cols_left - COLS;
        else begin
          cols_left <= n_size;
          rows_left <= rows_left - ROWS;
          if (rows_left <= ROWS) draining <= 1;
        end
      end
    end
  end
endmodule
