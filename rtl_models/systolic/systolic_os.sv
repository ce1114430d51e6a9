// Output-stationary systolic array, R x C: out[m, n] = sum over the slots of a[m, k] b[k, n].
// Streams: a, one slot of R groups; b, one slot of C {index, value} words, both unskewed, tile by tile.
// Lanes outside the tile are masked here. Results leave on one bus a column, one row a cycle.
// A stream that is needed and not valid, or a result that is not taken, freezes the whole array (advance low).
module systolic_os #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int G = 1,
    parameter int IXW = 1,
    parameter int SZ = 16
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic                   start,
    input  logic [1:0]             convention,
    input  logic [SZ-1:0]          m_size,
    input  logic [SZ-1:0]          n_size,
    input  logic [SZ-1:0]          slots,
    input  logic                   tile_ready,
    input  logic                   a_valid,
    output logic                   a_ready,
    input  logic [R*G*W-1:0]       a_data,
    input  logic                   b_valid,
    output logic                   b_ready,
    input  logic [C*(W+IXW)-1:0]   b_data,
    input  logic                   out_ready,
    output logic [C-1:0]           out_valid,
    output logic [C*ACC-1:0]       out_data,
    output logic                   running,
    output logic                   advance,
    output logic                   slot_last,
    output logic [R*C-1:0]         active
);
  localparam int AW = G * W + 3;
  localparam int BW = W + IXW + 1;

  logic slot_valid, slot_first;
  logic [SZ-1:0] rows_used, cols_used;

  os_sequencer #(.R(R), .C(C), .SZ(SZ)) sequencer (
      .clk(clk), .rst(rst), .en(advance), .start(start), .convention(convention), .m_size(m_size),
      .n_size(n_size), .slots(slots), .tile_ready(tile_ready), .running(running), .slot_valid(slot_valid),
      .slot_first(slot_first), .slot_last(slot_last), .rows_used(rows_used), .cols_used(cols_used));

  assign advance = (!slot_valid || (a_valid && b_valid)) && (out_valid == 0 || out_ready);
  assign a_ready = slot_valid && advance;
  assign b_ready = slot_valid && advance;

  genvar r, c;
  generate
    for (r = 0; r < R; r = r + 1) begin : g_left
      logic real_row;
      logic [AW-1:0] word, late;
      assign real_row = slot_valid && r < rows_used;
      assign word = real_row ? {a_data[r*G*W+:G*W], slot_last, slot_first, 1'b1} : {AW{1'b0}};
      delay_line #(.DEPTH(r), .WIDTH(AW)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(word), .q(late));
    end
    for (c = 0; c < C; c = c + 1) begin : g_top
      logic real_col;
      logic [BW-1:0] word, late;
      assign real_col = slot_valid && c < cols_used;
      assign word = real_col ? {b_data[c*(W+IXW)+:W+IXW], 1'b1} : {BW{1'b0}};
      delay_line #(.DEPTH(c), .WIDTH(BW)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(word), .q(late));
    end
    for (r = 0; r < R; r = r + 1) begin : g_row
      for (c = 0; c < C; c = c + 1) begin : g_col
        // Wires of its own for each element: slices of one wide vector make interpreted simulation quadratic.
        logic [AW-1:0] left, right;
        logic [BW-1:0] above, below;
        logic [ACC-1:0] sum;
        logic last;
        if (c == 0) begin : g_first
          assign left = g_left[r].late;
        end else begin : g_next
          assign left = g_row[r].g_col[c-1].right;
        end
        if (r == 0) begin : g_top_row
          assign above = g_top[c].late;
        end else begin : g_lower
          assign above = g_row[r-1].g_col[c].below;
        end
        pe_os #(.W(W), .ACC(ACC), .G(G), .IXW(IXW)) pe (
            .clk(clk), .rst(rst), .en(advance), .a(left), .a_out(right), .b(above), .b_out(below),
            .sum(sum), .last(last), .active(active[r*C+c]));
      end
    end
    for (c = 0; c < C; c = c + 1) begin : g_bus
      // At most one element of a column finishes in a cycle, so that its results share one bus.
      for (r = 0; r < R; r = r + 1) begin : g_tap
        logic mine, taken;
        logic [ACC-1:0] bus, own;
        assign mine = g_row[r].g_col[c].last && g_row[r].g_col[c].above[0];
        assign own = mine ? g_row[r].g_col[c].sum : {ACC{1'b0}};
        if (r == 0) begin : g_first
          assign bus = own;
          assign taken = mine;
        end else begin : g_next
          assign bus = g_bus[c].g_tap[r-1].bus | own;
          assign taken = g_bus[c].g_tap[r-1].taken | mine;
        end
      end
      assign out_valid[c] = g_tap[R-1].taken;
      assign out_data[c*ACC+:ACC] = g_tap[R-1].bus;
    end
  endgenerate
endmodule
