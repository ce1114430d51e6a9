// The cycle contract of the output-stationary element, for a bounded proof: whatever the inputs, the result of
// a pair (first, then last) is the sum of both products, operands leave one enabled cycle later, and a frozen
// cycle changes nothing. Small widths, so that the solver sees every value.
module pe_contract (
    input logic       clk,
    input logic       rst,
    input logic       en,
    input logic [5:0] a,
    input logic [4:0] b
);
  logic [5:0] a_out, a_before;
  logic [4:0] b_out, b_before;
  logic signed [7:0] sum, product_now, product_before, expected;
  logic last, active, en_before, known;
  logic signed [2:0] a_value, b_value;

  pe_os #(.W(3), .ACC(8), .G(1), .IXW(1)) pe (
      .clk(clk), .rst(rst), .en(en), .a(a), .b(b), .a_out(a_out), .b_out(b_out), .sum(sum), .last(last),
      .active(active));

  always_comb begin
    a_value = a[5:3];
    b_value = b[3:1];
    product_now = a_value * b_value;
    expected = product_before + product_now;
  end

  always_ff @(posedge clk) begin
    if (rst) known <= 0;
    else if (en) begin
      known <= a[1];  // the sum was cleared in the last enabled cycle
      product_before <= product_now;
      a_before <= a;
      b_before <= b;
    end
    en_before <= en && !rst;
  end

  always_comb begin
    if (a[1]) assert (sum == product_now);
    if (known && !a[1]) assert (sum == expected);
    if (known) assert (a_out == a_before);
    if (known) assert (b_out == b_before);
    assert (last == a[2]);
    assert (active == (a[0] && b[0]));
  end
endmodule
