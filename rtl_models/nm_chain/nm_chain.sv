// ROWS x COLS chains of LENGTH DSP slices, dense or N:M at run time (FlightLLM's configurable sparse chain).
// mode 0: dense, 1: 2:4, 2: 1:4, 3: 2:8. A beat brings each row of chains the groups of m values of A that
// its slots select from (group g at g * m), and each column of chains LENGTH {index, value} words of B.
// Slice i's operands are late by i cycles, so that products meet their partial sum on the cascade wires.
module nm_chain #(
    parameter int ROWS = 1,
    parameter int COLS = 1,
    parameter int LENGTH = 4,
    parameter int W = 8,
    parameter int P = 48,
    parameter int SZ = 16
) (
    input  logic                                  clk,
    input  logic                                  rst,
    input  logic                                  start,
    input  logic [1:0]                            mode,
    input  logic [SZ-1:0]                         m_size,
    input  logic [SZ-1:0]                         n_size,
    input  logic [SZ-1:0]                         slots,
    input  logic                                  a_valid,
    output logic                                  a_ready,
    input  logic [ROWS*8*((LENGTH+1)/2)*W-1:0]    a_data,
    input  logic                                  b_valid,
    output logic                                  b_ready,
    input  logic [COLS*LENGTH*(W+3)-1:0]          b_data,
    input  logic                                  out_ready,
    output logic [ROWS*COLS-1:0]                  out_valid,
    output logic [ROWS*COLS*P-1:0]                out_data,
    output logic                                  running,
    output logic                                  advance,
    output logic [ROWS*COLS*LENGTH-1:0]           active
);
  localparam int VALUES = 8 * ((LENGTH + 1) / 2);

  logic beat_valid, beat_first, beat_last;
  logic [SZ-1:0] slots_used, rows_used, cols_used;
  logic [ROWS*COLS*(LENGTH+1)*P-1:0] cascade;
  logic first_out;
  logic [ROWS*COLS-1:0] ending, ended;

  chain_sequencer #(.ROWS(ROWS), .COLS(COLS), .LENGTH(LENGTH), .SZ(SZ)) sequencer (
      .clk(clk), .rst(rst), .en(advance), .start(start), .mode(mode), .m_size(m_size), .n_size(n_size),
      .slots(slots), .running(running), .beat_valid(beat_valid), .beat_first(beat_first),
      .beat_last(beat_last), .slots_used(slots_used), .rows_used(rows_used), .cols_used(cols_used));

  assign advance = (!beat_valid || (a_valid && b_valid)) && (out_valid == 0 || out_ready);
  assign a_ready = beat_valid && advance;
  assign b_ready = beat_valid && advance;
  delay_line #(.DEPTH(LENGTH + 2), .WIDTH(1 + ROWS * COLS)) tokens (
      .clk(clk), .rst(rst), .en(advance), .d({beat_first, ending}), .q({first_out, ended}));
  assign out_valid = ended;

  genvar r, c, i;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      for (c = 0; c < COLS; c = c + 1) begin : g_col
        localparam int CHAIN = r * COLS + c;
        logic wanted;
        logic signed [P-1:0] total, total_next;
        assign wanted = beat_valid && r < rows_used && c < cols_used;
        assign ending[CHAIN] = wanted && beat_last;
        assign cascade[CHAIN*(LENGTH+1)*P+:P] = 0;
        for (i = 0; i < LENGTH; i = i + 1) begin : g_slice
          logic [8*W-1:0] window;
          logic [W+2:0] word;
          logic [2:0] pick;
          logic real_slot, real_late;
          logic [W-1:0] a_late, b_late, picked, kept;
          always_comb begin
            // The group's values that this slot may select; narrower groups repeat in the window.
            word = b_data[(c*LENGTH+i)*(W+3)+:W+3];
            real_slot = wanted && i < slots_used;
            pick = word[W+:3];
            case (mode)
              2'd0: begin
                window = {8{a_data[(r*VALUES+i)*W+:W]}};
                pick = 0;
              end
              2'd1: window = {2{a_data[(r*VALUES+(i/2)*4)*W+:4*W]}};
              2'd2: window = {2{a_data[(r*VALUES+i*4)*W+:4*W]}};
              default: window = a_data[(r*VALUES+(i/2)*8)*W+:8*W];
            endcase
            picked = 0;
            kept = 0;
            if (real_slot) begin
              picked = window[pick*W+:W];
              kept = word[W-1:0];
            end
          end
          delay_line #(.DEPTH(i), .WIDTH(2 * W + 1)) late (
              .clk(clk), .rst(rst), .en(advance), .d({real_slot, picked, kept}),
              .q({real_late, a_late, b_late}));
          dsp_slice #(.W(W), .P(P)) slice (
              .clk(clk), .rst(rst), .en(advance), .real_in(real_late), .a_in(a_late), .b_in(b_late),
              .cascade_in(cascade[(CHAIN*(LENGTH+1)+i)*P+:P]),
              .cascade_out(cascade[(CHAIN*(LENGTH+1)+i+1)*P+:P]), .active(active[CHAIN*LENGTH+i]));
        end
        always_comb begin
          total_next = cascade[(CHAIN*(LENGTH+1)+LENGTH)*P+:P];
          if (!first_out) total_next = total_next + total;
        end
        always_ff @(posedge clk) begin
          if (rst) total <= 0;
          else if (advance) total <= total_next;
        end
        assign out_data[CHAIN*P+:P] = total_next;
      end
    end
  endgenerate
endmodule
