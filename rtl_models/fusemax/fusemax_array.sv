// FuseMax's 2D array, R keys x C queries, with the running maximum of each column below it.
// Streams, in program order: left, R values (K in QK cycles, V in SLNV cycles); top, C values (Q).
// Lanes outside the tile are masked here. A column's result bus carries, in this order for a tile: the
// running maximum, the sum of exp, and F sums of exp * V.
module fusemax_array #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int XW = 48,
    parameter int DEPTH = 2,
    parameter int SLOT = 4,
    parameter int SZ = 16
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             start,
    input  logic [SZ-1:0]    keys,
    input  logic [SZ-1:0]    queries,
    input  logic [SZ-1:0]    e_size,
    input  logic [SZ-1:0]    f_size,
    input  logic [4:0]       shift,
    input  logic             left_valid,
    output logic             left_ready,
    input  logic [R*W-1:0]   left_data,
    input  logic             top_valid,
    output logic             top_ready,
    input  logic [C*W-1:0]   top_data,
    input  logic             out_ready,
    output logic [C-1:0]     out_valid,
    output logic [C*XW-1:0]  out_data,
    output logic             running,
    output logic             advance,
    output logic [R*C-1:0]   active
);
  // A token {row_real, col counts, key_tile_first, slot, stage, first, op} walks down column 0 and right.
  localparam int TW = 2 * SZ + 1 + SLOT + 3 + 1 + 3;

  logic [2:0] op, stage;
  logic first, key_tile_first, need_left, need_top;
  logic [SLOT-1:0] slot;
  logic [SZ-1:0] rows_used, cols_used;
  logic [R*(C+1)*TW-1:0] tokens;
  logic [R*(C+1)*W-1:0] across;
  logic [(R+1)*C*XW-1:0] down;
  logic [R*C*XW-1:0] down_now;
  logic [C-1:0] max_valid, sum_valid;

  fusemax_sequencer #(.R(R), .C(C), .DEPTH(DEPTH), .SLOT(SLOT), .SZ(SZ)) sequencer (
      .clk(clk), .rst(rst), .en(advance), .start(start), .keys(keys), .queries(queries), .e_size(e_size),
      .f_size(f_size), .running(running), .op(op), .first(first), .stage(stage), .slot(slot),
      .key_tile_first(key_tile_first), .rows_used(rows_used), .cols_used(cols_used));

  assign need_left = op == 1 || op == 6;
  assign need_top = op == 1;
  assign advance = (!need_left || left_valid) && (!need_top || top_valid) && (out_valid == 0 || out_ready);
  assign left_ready = need_left && advance;
  assign top_ready = need_top && advance;
  assign out_valid = max_valid | sum_valid;

  genvar r, c;
  generate
    for (r = 0; r < R; r = r + 1) begin : g_left
      logic [W-1:0] value;
      assign value = (need_left && r < rows_used) ? left_data[r*W+:W] : {W{1'b0}};
      delay_line #(.DEPTH(r), .WIDTH(W)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(value), .q(across[(r*(C+1))*W+:W]));
      delay_line #(.DEPTH(r), .WIDTH(TW)) token_skew (
          .clk(clk), .rst(rst), .en(advance),
          .d({rows_used, cols_used, key_tile_first, slot, stage, first, op}),
          .q(tokens[(r*(C+1))*TW+:TW]));
    end
    for (c = 0; c < C; c = c + 1) begin : g_column
      // Below the last row: the running maximum, kept for every tile in flight until its SUB.
      logic [W-1:0] query, query_late;
      logic signed [XW-1:0] maximum, running_max;
      logic [DEPTH*XW-1:0] kept;
      logic [TW-1:0] top_token, bottom;
      logic max_pending, pending_first, pending_real;
      logic [SLOT-1:0] pending_slot;
      assign query = (need_top && c < cols_used) ? top_data[c*W+:W] : {W{1'b0}};
      delay_line #(.DEPTH(c), .WIDTH(W)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(query), .q(query_late));
      assign top_token = tokens[c*TW+:TW];
      assign bottom = tokens[((R-1)*(C+1)+c)*TW+:TW];
      logic signed [XW-1:0] entering, leaving;
      assign down[c*XW+:XW] = entering;
      assign leaving = down[(R*C+c)*XW+:XW];
      always_comb begin
        entering = $signed(query_late);
        if (top_token[2:0] == 3) entering = kept[top_token[7+:SLOT]*XW+:XW];
      end
      always_comb begin
        maximum = leaving;
        if (!pending_first && running_max > maximum) maximum = running_max;
        max_valid[c] = max_pending && pending_real;
        sum_valid[c] = (bottom[2:0] == 5 || bottom[2:0] == 6) && c < bottom[8+SLOT+:SZ];
      end
      always_ff @(posedge clk) begin
        if (rst) begin
          max_pending <= 0;
          pending_first <= 0;
          pending_real <= 0;
          pending_slot <= 0;
          running_max <= 0;
          kept <= 0;
        end else if (advance) begin
          max_pending <= bottom[2:0] == 2;
          pending_first <= bottom[7+SLOT];
          pending_real <= c < bottom[8+SLOT+:SZ];
          pending_slot <= bottom[7+:SLOT];
          if (max_pending) begin
            running_max <= maximum;
            kept[pending_slot*XW+:XW] <= maximum;
          end
        end
      end
      assign out_data[c*XW+:XW] = max_valid[c] ? maximum : down_now[((R-1)*C+c)*XW+:XW];
    end
    for (r = 0; r < R; r = r + 1) begin : g_row
      for (c = 0; c < C; c = c + 1) begin : g_col
        logic [TW-1:0] token, token_right;
        assign token = tokens[(r*(C+1)+c)*TW+:TW];
        always_ff @(posedge clk) begin
          if (rst) token_right <= 0;
          else if (advance) token_right <= token;
        end
        assign tokens[(r*(C+1)+c+1)*TW+:TW] = token_right;
        pe_fusemax #(.W(W), .ACC(ACC), .XW(XW), .DEPTH(DEPTH), .SLOT(SLOT)) pe (
            .clk(clk), .rst(rst), .en(advance), .op(token[2:0]), .first(token[3]), .stage(token[6:4]),
            .slot(token[7+:SLOT]), .shift(shift), .row_real(r < token[8+SLOT+SZ+:SZ]),
            .col_real(c < token[8+SLOT+:SZ]), .top_row(r == 0),
            .left(across[(r*(C+1)+c)*W+:W]), .above(down[(r*C+c)*XW+:XW]),
            .right(across[(r*(C+1)+c+1)*W+:W]), .below_now(down_now[(r*C+c)*XW+:XW]),
            .below(down[((r+1)*C+c)*XW+:XW]), .active(active[r*C+c]));
      end
    end
  endgenerate
endmodule
