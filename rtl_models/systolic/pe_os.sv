// Output-stationary element: accumulates, passes A on to its right and B below, one register each.
// a: {group of G values, last, first, real}; b: {index, value, real}. G = 1 is the dense element; with
// G > 1 the index beside B's kept value selects the value of A's group that it multiplies (N:M, SAT).
module pe_os #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int G = 1,
    parameter int IXW = 1
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  en,
    input  logic        [G*W+2:0] a,
    input  logic        [W+IXW:0] b,
    output logic        [G*W+2:0] a_out,
    output logic        [W+IXW:0] b_out,
    output logic signed [ACC-1:0] sum,
    output logic                  last,
    output logic                  active
);
  logic signed [ACC-1:0] acc, kept;
  logic signed [W-1:0] chosen, value;
  logic signed [2*W-1:0] product;

  always_comb begin
    chosen = a[3+:W];
    for (int g = 1; g < G; g = g + 1) if (b[W+1+:IXW] == g) chosen = a[3+g*W+:W];
    value = b[1+:W];
    product = chosen * value;
    kept = acc;
    if (a[1]) kept = 0;
    sum = kept + product;
    last = a[2];
    active = a[0] & b[0];
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      acc   <= 0;
      a_out <= 0;
      b_out <= 0;
    end else if (en) begin
      acc   <= sum;
      a_out <= a;
      b_out <= b;
    end
  end
endmodule
