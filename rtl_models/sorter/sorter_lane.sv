// One lane of SAT's top-N sorter: the N largest magnitudes of M values, one value a cycle.
// Of equal magnitudes the earlier stays; kept values stand in the order of their index.
module sorter_lane #(
    parameter int N = 2,
    parameter int W = 8,
    parameter int IXW = 3
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               en,
    input  logic               taken,
    input  logic               first,
    input  logic [IXW-1:0]     beat,
    input  logic [W-1:0]       value,
    output logic [N*(W+IXW)-1:0] kept,
    output logic               insert
);
  logic [N*(W+IXW)-1:0] next;
  logic [N-1:0] full, full_now, full_next;
  logic [N-1:0] leaves;  // one-hot: the register that loses
  logic signed [W:0] least, size, incoming;
  logic signed [W-1:0] held;
  logic passed;

  always_comb begin
    full_now = full;
    if (first) full_now = 0;
    leaves = 0;
    least = 0;
    for (int i = 0; i < N; i = i + 1) begin
      held = kept[i*(W+IXW)+:W];
      size = held;
      if (held < 0) size = -size;
      if (!full_now[i]) size = -1;
      if (i == 0 || size <= least) begin
        least = size;
        leaves = 0;
        leaves[i] = 1;
      end
    end
    incoming = $signed(value);
    if ($signed(value) < 0) incoming = -incoming;
    insert = taken && incoming > least;
    next = kept;
    full_next = full_now;
    passed = 0;
    if (insert) begin
      for (int i = 0; i < N - 1; i = i + 1) begin
        if (leaves[i]) passed = 1;
        if (passed) begin
          next[i*(W+IXW)+:W+IXW] = kept[(i+1)*(W+IXW)+:W+IXW];
          full_next[i] = full_now[i+1];
        end
      end
      next[(N-1)*(W+IXW)+:W+IXW] = {beat, value};
      full_next[N-1] = 1;
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      kept <= 0;
      full <= 0;
    end else if (en) begin
      kept <= next;
      full <= full_next;
    end
  end
endmodule
