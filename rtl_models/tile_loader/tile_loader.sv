// Double-buffered tile loader: one word a cycle in, tile by tile; whole slots out, for an R x C array.
// Each operand has two buffers of DEPTH slots, a memory a lane: one is read while the other fills. A tile's words: its A slot
// by slot when its row tile is new, then its B slot by slot when its column tile is new. A tile loads once
// the tile two before it has left its buffers (slot_last); loaded says that the next tile to run is there.
module tile_loader #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int DEPTH = 32,
    parameter int SZ = 16
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           start,
    input  logic [SZ-1:0]  m_size,
    input  logic [SZ-1:0]  n_size,
    input  logic [SZ-1:0]  slots,
    input  logic           word_valid,
    output logic           word_ready,
    input  logic [W-1:0]   word_data,
    input  logic           slot_taken,
    input  logic           slot_last,
    output logic           loaded,
    output logic [R*W-1:0] a_slot,
    output logic [C*W-1:0] b_slot
);
  localparam int AW = $clog2(DEPTH) + 1;
  logic [AW-1:0] a_from, a_to, b_from, b_to;  // {half, slot}
  // Write side: the tile that loads. Read side: the tile that runs.
  logic [SZ-1:0] w_rows_left, w_cols_left, w_slot, w_lane, lanes, r_cols_left, r_slot;
  logic w_is_b, w_a_half, w_b_half, r_a_half, r_b_half, loading, tile_filled, one_col_tile;
  logic [1:0] ready_tiles;

  always_comb begin
    one_col_tile = n_size <= C;
    lanes = w_rows_left;
    if (w_rows_left > R) lanes = R;
    if (w_is_b) begin
      lanes = w_cols_left;
      if (w_cols_left > C) lanes = C;
    end
    word_ready = loading && ready_tiles < 2;
    // A tile is complete with its last B word, or with its last A word where it needs no new B.
    tile_filled = word_ready && word_valid && w_lane == lanes - 1 && w_slot == slots - 1 &&
                  (w_is_b || (one_col_tile && w_rows_left != m_size));
    loaded = ready_tiles != 0;
    a_from = {r_a_half, r_slot[AW-2:0]};
    b_from = {r_b_half, r_slot[AW-2:0]};
    a_to = {w_a_half, w_slot[AW-2:0]};
    b_to = {w_b_half, w_slot[AW-2:0]};
  end

  always_ff @(posedge clk) begin
    if (rst || start) begin
      loading <= start && !rst;
      w_rows_left <= m_size;
      w_cols_left <= n_size;
      r_cols_left <= n_size;
      w_slot <= 0;
      w_lane <= 0;
      w_is_b <= 0;
      w_a_half <= 0;
      w_b_half <= 0;
      r_a_half <= 0;
      r_b_half <= 0;
      r_slot <= 0;
      ready_tiles <= 0;
    end else begin
      if (word_ready && word_valid) begin
        w_lane <= w_lane + 1;
        if (w_lane == lanes - 1) begin
          w_lane <= 0;
          w_slot <= w_slot + 1;
          if (w_slot == slots - 1) begin
            w_slot <= 0;
            w_is_b <= 1;
          end
        end
      end
      if (tile_filled) begin
        if (w_cols_left > C) begin
          w_cols_left <= w_cols_left - C;
          w_b_half <= !w_b_half;
        end else begin
          w_cols_left <= n_size;
          w_rows_left <= w_rows_left - R;
          w_a_half <= !w_a_half;
          if (!one_col_tile) w_b_half <= !w_b_half;
          w_is_b <= 0;
          if (w_rows_left <= R) loading <= 0;
        end
      end
      if (slot_taken) r_slot <= r_slot + 1;
      if (slot_last) begin
        r_slot <= 0;
        if (!one_col_tile) r_b_half <= !r_b_half;
        if (r_cols_left > C) r_cols_left <= r_cols_left - C;
        else begin
          r_cols_left <= n_size;
          r_a_half <= !r_a_half;
        end
      end
      ready_tiles <= ready_tiles + tile_filled - slot_last;
    end
  end

  genvar l;
  generate
    for (l = 0; l < R; l = l + 1) begin : g_a
      lane_memory #(.AW(AW), .W(W)) lane (
          .clk(clk), .we(word_ready && word_valid && !w_is_b && w_lane == l), .waddr(a_to), .wdata(word_data),
          .raddr(a_from), .rdata(a_slot[l*W+:W]));
    end
    for (l = 0; l < C; l = l + 1) begin : g_b
      lane_memory #(.AW(AW), .W(W)) lane (
          .clk(clk), .we(word_ready && word_valid && w_is_b && w_lane == l), .waddr(b_to), .wdata(word_data),
          .raddr(b_from), .rdata(b_slot[l*W+:W]));
    end
  endgenerate
endmodule
