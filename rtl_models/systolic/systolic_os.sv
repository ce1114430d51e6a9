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
  logic [R*(C+1)*AW-1:0] across;
  logic [(R+1)*C*BW-1:0] down;
  logic [R*C*ACC-1:0] sums;
  logic [R*C-1:0] lasts;

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
      logic [AW-1:0] word;
      assign real_row = slot_valid && r < rows_used;
      assign word = real_row ? {a_data[r*G*W+:G*W], slot_last, slot_first, 1'b1} : {AW{1'b0}};
      delay_line #(.DEPTH(r), .WIDTH(AW)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(word), .q(across[(r*(C+1))*AW+:AW]));
    end
    for (c = 0; c < C; c = c + 1) begin : g_top
      logic real_col;
      logic [BW-1:0] word;
      assign real_col = slot_valid && c < cols_used;
      assign word = real_col ? {b_data[c*(W+IXW)+:W+IXW], 1'b1} : {BW{1'b0}};
      delay_line #(.DEPTH(c), .WIDTH(BW)) skew (
          .clk(clk), .rst(rst), .en(advance), .d(word), .q(down[c*BW+:BW]));
    end
    for (r = 0; r < R; r = r + 1) begin : g_row
      for (c = 0; c < C; c = c + 1) begin : g_col
        pe_os #(.W(W), .ACC(ACC), .G(G), .IXW(IXW)) pe (
            .clk(clk), .rst(rst), .en(advance),
            .a(across[(r*(C+1)+c)*AW+:AW]), .a_out(across[(r*(C+1)+c+1)*AW+:AW]),
            .b(down[(r*C+c)*BW+:BW]), .b_out(down[((r+1)*C+c)*BW+:BW]),
            .sum(sums[(r*C+c)*ACC+:ACC]), .last(lasts[r*C+c]), .active(active[r*C+c]));
      end
    end
    for (c = 0; c < C; c = c + 1) begin : g_bus
      logic [ACC-1:0] bus;
      logic taken;
      always_comb begin
        bus = 0;
        taken = 0;
        for (int i = 0; i < R; i = i + 1)
          if (lasts[i*C+c] && down[(i*C+c)*BW]) begin
            bus = bus | sums[(i*C+c)*ACC+:ACC];
            taken = 1;
          end
      end
      assign out_valid[c] = taken;
      assign out_data[c*ACC+:ACC] = bus;
    end
  endgenerate
endmodule
