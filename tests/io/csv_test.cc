// Tables as people's programs write them: quoting, separators, line ends, headers, faults.
#include "src/io/csv.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <random>

#include "src/io/atomic_file.h"
#include "tests/scratch.h"
#include "tests/write_csv.h"

namespace scorejet::io {
namespace {

using testing::error_of;
using testing::Scratch;
using Names = std::vector<std::string>;

class Csv : public ::testing::Test {
 protected:
  CsvTable read(std::string_view text) {
    write_file(scratch_ / "t.csv", text);
    return read_csv_table(scratch_ / "t.csv");
  }
  std::vector<double> values(std::string_view text) {
    const CsvTable table = read(text);
    const double* first = table.values.data<double>();
    return {first, first + table.values.num_elements()};
  }
  // The message behind the file's name.
  std::string fault(std::string_view text) {
    const std::string error = error_of([&] { read(text); });
    const size_t name = error.find("t.csv");
    EXPECT_TRUE(error.starts_with("[io::read_csv] ") && name != std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    return name == std::string::npos ? error : error.substr(name + 5);
  }
  Scratch scratch_;
};

TEST_F(Csv, QuotingIsThatOfRfc4180) {
  const CsvTable table =
      read("\"a, cm\",\"b \"\"raw\"\"\",\"two\r\nlines\"\r\n1,\"2.5\",\" 3 \"\r\n");
  EXPECT_EQ(table.names, (Names{"a, cm", "b \"raw\"", "two\r\nlines"}));
  EXPECT_EQ(table.values.shape, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(values("a,b,c\n1,\"2.5\",\" 3 \"\n"), (std::vector<double>{1, 2.5, 3}));
  EXPECT_EQ(values("a\n\"-1e3\""), (std::vector<double>{-1000}));
  EXPECT_EQ(read("\"größe\",σ\n1,2").names, (Names{"größe", "σ"}));
  EXPECT_NE(fault("a,b\n1,\"2").find("row 2: a quoted field must end"), std::string::npos);
  EXPECT_NE(fault("a,b\n1,\"2\"3\n").find("row 2: quotes must enclose"), std::string::npos);
  EXPECT_NE(fault("a,b\"c\n1,2\n").find("row 1: quotes must enclose"), std::string::npos);
}

TEST_F(Csv, LinesEndInEveryWay) {
  const std::vector<double> expected{1, 2, 3, 4};
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const std::string rows = fmt::format("1,2{0}3,4", end);
    EXPECT_EQ(values(rows), expected);
    EXPECT_EQ(values(rows + end), expected);
    EXPECT_EQ(values(fmt::format("\xEF\xBB\xBFx,y{0}{1}{0}{0} {0}\t{0}", end, rows)), expected);
    EXPECT_EQ(fault(fmt::format("1,2{0}{0}3,4", end)),
              " row 2: must hold numbers; got a blank line");
  }
  EXPECT_EQ(values("1,2\r\n\r\n\r\n\r\n"), (std::vector<double>{1, 2}));
  EXPECT_EQ(values("1,2\n \n \n \n"), (std::vector<double>{1, 2}));
}

TEST_F(Csv, SeparatorsAreGuessedAndSaid) {
  const std::vector<double> expected{1, 2.5, 3, 4};
  EXPECT_EQ(values("x;y\n1;2.5\n3;4\n"), expected);
  EXPECT_EQ(values("1\t2.5\n3\t4\n"), expected);
  EXPECT_EQ(read("\"x;1\";y\n1;2\n").names, (Names{"x;1", "y"}));
  EXPECT_EQ(read("p, cm;q\n1;2\n").names, (Names{"p, cm", "q"}));
  EXPECT_NE(read("1;2\n").notice.find("semicolons"), std::string::npos);
  EXPECT_NE(read("x\ty\n1\t2\n").notice.find("tabs"), std::string::npos);
  for (const char* text :
       {"1,2.5\n3,4", "1,\t2.5\n3,\t4", " 1 , 2.5\t\n\t3,4 ", "a;b,c\n1,2.5\n3,4"}) {
    EXPECT_EQ(read(text).notice, "") << text;
    EXPECT_EQ(values(text), expected) << text;
  }
  EXPECT_EQ(read("a;b,c\n1,2").names, (Names{"a;b", "c"}));
}

TEST_F(Csv, DecimalCommasAreRefusedWithTheWayOut) {
  EXPECT_EQ(fault("x;y\n1,5;2\n"),
            " row 2 column 1: must be a number; got \"1,5\" (write numbers with a decimal point, "
            "without commas)");
  EXPECT_NE(fault("x,y\n1,\"2,5\"\n").find("decimal point"), std::string::npos);
  EXPECT_EQ(fault("x\n0,5\n"), " row 2: must have 1 columns; got 2 (decimal commas? write points)");
  EXPECT_NE(fault("0,435\n-1,052\n").find("halves of decimal commas"), std::string::npos);
  EXPECT_EQ(values("x,y\n0,435\n-1,052\n"), (std::vector<double>{0, 435, -1, 52}));
  EXPECT_EQ(values("1,25\n3,70\n"), (std::vector<double>{1, 25, 3, 70}));
  EXPECT_EQ(values("1,0\n0,1\n"), (std::vector<double>{1, 0, 0, 1}));
  EXPECT_EQ(values("1.5,05\n"), (std::vector<double>{1.5, 5}));
}

TEST_F(Csv, ARowOfNumbersIsNoHeader) {
  EXPECT_NE(fault("0.5,,1.5\n1,2,3\n").find("row 1 column 2: must be a number; got \"\""),
            std::string::npos);
  EXPECT_NE(fault("1.0,2.O\n1,2\n").find("row 1 column 2: must be a number; got \"2.O\""),
            std::string::npos);
  EXPECT_NE(fault("1e-400,2\n3,4\n").find("row 1 column 1: must be a number; got \"1e-400\""),
            std::string::npos);
  EXPECT_NE(fault("+-1,2\n").find("row 1 column 1: must be a number; got \"+-1\""),
            std::string::npos);
  EXPECT_EQ(read("x1,x2,3\n1,2,3\n").names, (Names{"x1", "x2", "3"}));
  EXPECT_EQ(read("\"2020\",\"2021\"\n1,2\n").names, (Names{"2020", "2021"}));
  EXPECT_EQ(read("\"\";\"2021\"\n\"1\";2\n").names, (Names{"2021"}));
  EXPECT_EQ(read("\"1\",\"2\"\n\"3\",\"4\"\n").values.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(read("nan,inf\n1,2\n").values.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_NE(fault("nan,\n1,2\n").find("row 1 column 2: must be a number"), std::string::npos);
}

TEST_F(Csv, RowNumbersAreLeftOut) {
  for (const char* text : {",a,b\n0,1,2\n1,3,4\n", "\"\",\"a\",\"b\"\n\"1\",1,2\n\"2\",3,4\n",
                           "Unnamed: 0;a;b\n1;1;2\n2;3;4\n"}) {
    const CsvTable table = read(text);
    EXPECT_EQ(table.names, (Names{"a", "b"})) << text;
    EXPECT_EQ(values(text), (std::vector<double>{1, 2, 3, 4})) << text;
    EXPECT_NE(table.notice.find("first column counts its rows"), std::string::npos);
    EXPECT_EQ(table.notice.find("semicolons") == std::string::npos, text[0] != 'U');
  }
  EXPECT_EQ(fault(",a\n1,2\n3,4\n"), " row 1 column 1: must have a name; got \"\"");
  EXPECT_EQ(fault("a,\n1,1\n2,2\n"), " row 1 column 2: must have a name; got \"\"");
  EXPECT_EQ(read("n,a\n1,2\n2,4\n").names, (Names{"n", "a"}));
}

TEST_F(Csv, MessagesShowFieldsInShort) {
  EXPECT_EQ(fault("a,b\n1,\x1b[31m\n"), " row 2 column 2: must be a number; got \"\\x1b[31m\"");
  const std::string message = fault(fmt::format("a,b\n1,{:z<5000}\n", ""));
  EXPECT_NE(message.find("... (5000 bytes)"), std::string::npos);
  EXPECT_LT(message.size(), 150);
  EXPECT_NE(fault("\xFF\xFE"
                  "1")
                .find("UTF-16"),
            std::string::npos);
}

TEST_F(Csv, NamesSurviveWriting) {
  const CsvTable table = read("a,b\n1.5,-0.25\n");
  const Names names{"a, \"b\"\nc", " padded "};
  testing::write_csv(scratch_ / "w.csv", table.values, names);
  EXPECT_EQ(read_csv_table(scratch_ / "w.csv").names, names);
  EXPECT_EQ(read_csv_table(scratch_ / "w.csv").values.bytes, table.values.bytes);
}

// Splitting at commas and std::from_chars, nothing else: what plain tables have always meant.
TEST_F(Csv, PlainTablesKeepTheirBits) {
  std::mt19937_64 random(7);
  std::string text;
  std::vector<double> expected;
  for (int i = 0; i < 3000; ++i) {
    double value = 0;
    const uint64_t bits = random();
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value) || std::abs(value) < 1e-300) value = static_cast<double>(i);
    const std::string field = i % 3 == 0   ? fmt::format("{:.17g}", value)
                              : i % 3 == 1 ? fmt::format(" {}\t", value)
                                           : fmt::format("+{:.4f}", i / 7.0);
    text += field + (i % 3 == 2 ? "\r\n" : ",");
    const size_t begin = field.find_first_of("-0123456789");
    const size_t end = field.find_last_of("0123456789") + 1;
    std::from_chars(field.data() + begin, field.data() + end, value);
    expected.push_back(value);
  }
  const CsvTable table = read(text);
  ASSERT_EQ(table.values.shape, (std::vector<int64_t>{1000, 3}));
  EXPECT_EQ(std::memcmp(table.values.bytes.data(), expected.data(), table.values.bytes.size()), 0);
}

}  // namespace
}  // namespace scorejet::io
