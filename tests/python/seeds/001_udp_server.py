import socketserver

HOST = "127.0.0.1"
PORT = 8081

class MyUDP(socketserver.BaseRequestHandler):
    def handle(self):

        print(self) #  UDP连接对象
        # 数据
        print(self.request[0])	# 数据
        print(self.request[1])	# 
        print(type(self.request[1]))

if __name__ == '__main__':
    # 实例化得到一个tcp连接的对象,Threading意思是说,只要来了请求,它自动的开线程来处理连接跟交互数据
    server = socketserver.ThreadingUDPServer((HOST,PORT),MyUDP)
    # 一直在等待发送数据来
    server.serve_forever()
