// When each tile of an output-stationary GEMM enters the array. Column tiles run inside row tiles.
// convention 0 (scale-sim): a tile takes R + C + slots - 2. 1 (edge-aware): r + c + slots + 3, three of the
// five before the first operand. 2 (overlapped): max(slots, R), the last one R + C + slots - 2.
// A tile that is not there (tile_ready low in its first operand's cycle) holds the sequencer, not the array.
module os_sequencer #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int SZ = 16
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          en,
    input  logic          start,
    input  logic [1:0]    convention,
    input  logic [SZ-1:0] m_size,
    input  logic [SZ-1:0] n_size,
    input  logic [SZ-1:0] slots,
    input  logic          tile_ready,
    output logic          running,
    output logic          slot_valid,
    output logic          slot_first,
    output logic          slot_last,
    output logic [SZ-1:0] rows_used,
    output logic [SZ-1:0] cols_used
);
  logic [SZ-1:0] rows_left, cols_left;
  logic [SZ+1:0] t, lead, period;
  logic last_tile, held;

  always_comb begin
    rows_used = rows_left;
    if (rows_left > R) rows_used = R;
    cols_used = cols_left;
    if (cols_left > C) cols_used = C;
    last_tile = rows_left <= R && cols_left <= C;
    lead = 0;
    if (convention == 1) lead = 3;
    period = slots + R + C - 2;
    if (convention == 1) period = slots + rows_used + cols_used + 3;
    if (convention == 2 && !last_tile) begin
      period = slots;
      if (slots < R) period = R;
    end
    held = running && t == lead && !tile_ready;
    slot_valid = running && t >= lead && t < lead + slots && !held;
    slot_first = slot_valid && t == lead;
    slot_last = slot_valid && t == lead + slots - 1;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      t <= 0;
      rows_left <= 0;
      cols_left <= 0;
    end else if (!running) begin
      if (start) begin
        running <= 1;
        t <= 0;
        rows_left <= m_size;
        cols_left <= n_size;
      end
    end else if (en && !held) begin
      t <= t + 1;
      if (t == period - 1) begin
        t <= 0;
        if (last_tile) running <= 0;
        else if (cols_left > C) cols_left <= cols_left - C;
        else begin
          cols_left <= n_size;
          rows_left <= rows_left - R;
        end
      end
    end
  end
endmodule
