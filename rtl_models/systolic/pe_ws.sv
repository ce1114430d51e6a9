// Weight-stationary element: a held operand and its shadow; adds its product to the sum from above.
// x: {group of G values, first, live, real}; held: {index, value, real}. With first the element takes its
// shadow in that same cycle; a load writes the shadow at the cycle's end.
module pe_ws #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int G = 1,
    parameter int IXW = 1
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  en,
    input  logic        [G*W+2:0] x,
    output logic        [G*W+2:0] x_out,
    input  logic                  load,
    input  logic        [W+IXW:0] held,
    input  logic signed [ACC-1:0] above,
    output logic signed [ACC-1:0] sum,
    output logic signed [ACC-1:0] below,
    output logic                  active
);
  logic [W+IXW:0] weight, shadow, w;
  logic signed [W-1:0] chosen, value;
  logic signed [2*W-1:0] product;

  always_comb begin
    w = weight;
    if (x[2]) w = shadow;
    chosen = x[3+:W];
    for (int g = 1; g < G; g = g + 1) if (w[W+1+:IXW] == g) chosen = x[3+g*W+:W];
    value = w[1+:W];
    product = chosen * value;
    sum = above + product;
    active = x[0] & w[0];
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      weight <= 0;
      shadow <= 0;
      x_out  <= 0;
      below  <= 0;
    end else if (en) begin
      weight <= w;
      x_out  <= x;
      below  <= sum;
      if (load) shadow <= held;
    end
  end
endmodule
