// Weight-stationary systolic array, R x C; on transposed operands it is the input-stationary one.
// Streams: x, one word of R groups a cycle; h, one row of C held {index, value} words a cycle, both unskewed,
// tile by tile. Partial sums leave the last row, one a column and cycle; the output memory adds row tiles.
// A stream that is needed and not valid, or a sum that is not taken, freezes the whole array (advance low).
module systolic_ws #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int G = 1,
    parameter int IXW = 1,
    parameter int SZ = 16
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic                 start,
    input  logic [1:0]           convention,
    input  logic [SZ-1:0]        k_size,
    input  logic [SZ-1:0]        n_size,
    input  logic [SZ-1:0]        stream,
    input  logic                 x_valid,
    output logic                 x_ready,
    input  logic [R*G*W-1:0]     x_data,
    input  logic                 h_valid,
    output logic                 h_ready,
    input  logic [C*(W+IXW)-1:0] h_data,
    input  logic                 out_ready,
    output logic [C-1:0]         out_valid,
    output logic [C*ACC-1:0]     out_data,
    output logic                 running,
    output logic                 advance,
    output logic [R*C-1:0]       active
);
  localparam int XW = G * W + 3;
  localparam int HW = W + IXW + 1;

  logic x_slot, x_first, h_slot, flush;
  logic [SZ-1:0] rows_used, cols_used, skip, h_row, h_rows_used, h_cols_used;
  logic [C-1:0] wanted;

  ws_sequencer #(.R(R), .C(C), .SZ(SZ)) sequencer (
      .clk(clk), .rst(rst), .en(advance), .start(start), .convention(convention), .k_size(k_size),
      .n_size(n_size), .stream(stream), .running(running), .x_slot(x_slot), .x_first(x_first),
      .rows_used(rows_used), .cols_used(cols_used), .skip(skip), .flush(flush), .h_slot(h_slot), .h_row(h_row),
      .h_rows_used(h_rows_used), .h_cols_used(h_cols_used));

  assign advance = (!x_slot || x_valid) && (!h_slot || h_valid) && (out_valid == 0 || out_ready);
  assign x_ready = x_slot && advance;
  assign h_ready = h_slot && advance;

  genvar r, c, i;
  generate
    for (r = 0; r < R; r = r + 1) begin : g_left
      // Row r's words are late by r cycles, or by r - skip where the tile stands on the last rows.
      logic [XW-1:0] word, chosen;
      logic [(r+1)*XW-1:0] taps;
      always_comb begin
        word = 0;
        if (x_slot && r >= skip) begin
          word[2:1] = {x_first, 1'b1};
          if (r < rows_used + skip) begin
            word[0] = 1'b1;
            word[XW-1:3] = x_data[r*G*W+:G*W];
          end
        end
      end
      for (i = 0; i <= r; i = i + 1) begin : g_choose
        logic [XW-1:0] own, bus;
        assign own = skip == r - i ? taps[i*XW+:XW] : {XW{1'b0}};
        if (i == 0) begin : g_first
          assign bus = own;
        end else begin : g_next
          assign bus = g_left[r].g_choose[i-1].bus | own;
        end
      end
      assign chosen = g_choose[r].bus;
      assign taps[XW-1:0] = word;
      if (r > 0) begin : g_taps
        logic [r*XW-1:0] line;
        always_ff @(posedge clk) begin
          if (rst || (flush && advance)) line <= 0;  // else a later, higher tap would show them again
          else if (advance) line <= taps[r*XW-1:0];
        end
        assign taps[(r+1)*XW-1:XW] = line;
      end
    end
    for (c = 0; c < C; c = c + 1) begin : g_load
      // One row a cycle for every column, the write late by one register a column.
      logic [HW-1:0] word;
      logic [R-1:0] select;
      logic [HW+R-1:0] load_late;
      always_comb begin
        word = 0;
        if (h_row < h_rows_used + skip && c < h_cols_used) word = {h_data[c*(W+IXW)+:W+IXW], 1'b1};
        select = 0;
        for (int i = 0; i < R; i = i + 1) select[i] = h_slot && h_row == i;
      end
      delay_line #(.DEPTH(c), .WIDTH(HW + R)) late (
          .clk(clk), .rst(rst), .en(advance), .d({select, word}), .q(load_late));
    end
    for (r = 0; r < R; r = r + 1) begin : g_row
      for (c = 0; c < C; c = c + 1) begin : g_col
        // Wires of its own for each element: slices of one wide vector make interpreted simulation quadratic.
        logic [XW-1:0] left, right;
        logic [ACC-1:0] above, below, sum;
        if (c == 0) begin : g_first
          assign left = g_left[r].chosen;
        end else begin : g_next
          assign left = g_row[r].g_col[c-1].right;
        end
        if (r == 0) begin : g_top_row
          assign above = 0;
        end else begin : g_lower
          assign above = g_row[r-1].g_col[c].below;
        end
        pe_ws #(.W(W), .ACC(ACC), .G(G), .IXW(IXW)) pe (
            .clk(clk), .rst(rst || (advance && flush)), .en(advance),  // words still on their way right
            .x(left), .x_out(right), .load(g_load[c].load_late[HW+r]), .held(g_load[c].load_late[HW-1:0]),
            .above(above), .sum(sum), .below(below), .active(active[r*C+c]));
      end
    end
    for (c = 0; c < C; c = c + 1) begin : g_out
      // Whether a tile uses column c travels with its words to the last row. With a skip the sums leave
      // earlier than that line; tiles do not overlap then, and the live bit beside the words is enough.
      delay_line #(.DEPTH(R - 1 + c), .WIDTH(1)) used (
          .clk(clk), .rst(rst), .en(advance), .d(x_slot && c < cols_used), .q(wanted[c]));
      assign out_valid[c] = (convention == 1 ? c < cols_used : wanted[c]) && g_row[R-1].g_col[c].left[1];
      assign out_data[c*ACC+:ACC] = g_row[R-1].g_col[c].sum;
    end
  endgenerate
endmodule
