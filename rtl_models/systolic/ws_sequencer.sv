// When each tile of a weight-stationary GEMM loads and streams. Row tiles (partial sums of one output) run
// inside column tiles; k on the rows, n on the columns, `stream` words of each row in time.
// convention 0 (scale-sim): load R, stream; a tile takes 2R + C + stream - 2. 1 (edge-aware): three cycles,
// load r, stream; 2r + c + stream + 3, on the array's last rows (skip). 2 (overlapped): R cycles load the
// first tile, then a tile every max(stream, R) while the next one loads; the last takes stream + R + C - 2.
module ws_sequencer #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int SZ = 16
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          en,
    input  logic          start,
    input  logic [1:0]    convention,
    input  logic [SZ-1:0] k_size,
    input  logic [SZ-1:0] n_size,
    input  logic [SZ-1:0] stream,
    output logic          running,
    output logic          x_slot,
    output logic          x_first,
    output logic [SZ-1:0] rows_used,
    output logic [SZ-1:0] cols_used,
    output logic [SZ-1:0] skip,
    output logic          flush,
    output logic          h_slot,
    output logic [SZ-1:0] h_row,
    output logic [SZ-1:0] h_rows_used,
    output logic [SZ-1:0] h_cols_used
);
  logic [SZ-1:0] rows_left, cols_left, h_rows_left, h_cols_left;
  logic [SZ+1:0] t, h_from, h_count, x_from, period;
  logic [SZ-1:0] skip_now;
  logic prologue, last_tile, ends;

  assign skip = skip_now;

  always_comb begin
    rows_used = rows_left;
    if (rows_left > R) rows_used = R;
    cols_used = cols_left;
    if (cols_left > C) cols_used = C;
    h_rows_used = h_rows_left;
    if (h_rows_left > R) h_rows_used = R;
    h_cols_used = h_cols_left;
    if (h_cols_left > C) h_cols_used = C;
    last_tile = rows_left <= R && cols_left <= C;
    skip_now = 0;
    h_from = 0;
    h_count = R;
    x_from = R;
    period = stream + R + R + C - 2;
    if (convention == 1) begin
      skip_now = R - rows_used;
      h_from = 3;
      h_count = rows_used;
      x_from = rows_used + 3;
      period = stream + rows_used + rows_used + cols_used + 3;
    end
    if (convention == 2) begin
      x_from = 0;
      period = stream + R + C - 2;
      if (!last_tile || prologue) begin
        period = stream;
        if (stream < R || prologue) period = R;
      end
      if (last_tile && !prologue) h_count = 0;
    end
    x_slot = running && !prologue && t >= x_from && t < x_from + stream;
    x_first = x_slot && t == x_from;
    h_slot = running && t >= h_from && t < h_from + h_count;
    h_row = t - h_from + skip_now;
    ends = t == period - 1;
    flush = running && ends && convention == 1;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      prologue <= 0;
      t <= 0;
      rows_left <= 0;
      cols_left <= 0;
      h_rows_left <= 0;
      h_cols_left <= 0;
    end else if (!running) begin
      if (start) begin
        running <= 1;
        prologue <= convention == 2;
        t <= 0;
        rows_left <= k_size;
        cols_left <= n_size;
        h_rows_left <= k_size;
        h_cols_left <= n_size;
      end
    end else if (en) begin
      t <= t + 1;
      if (h_slot && t == h_from + h_count - 1) begin
        if (h_rows_left > R) h_rows_left <= h_rows_left - R;
        else begin
          h_rows_left <= k_size;
          h_cols_left <= h_cols_left - C;
        end
      end
      if (ends) begin
        t <= 0;
        prologue <= 0;
        if (!prologue) begin
          if (last_tile) running <= 0;
          else if (rows_left > R) rows_left <= rows_left - R;
          else begin
            rows_left <= k_size;
            cols_left <= cols_left - C;
          end
        end
      end
    end
  end
endmodule
